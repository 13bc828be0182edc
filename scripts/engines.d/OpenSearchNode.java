import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import org.codelibs.opensearch.runner.OpenSearchRunner;

/**
 * Runs one OpenSearch node in this process until a signal ends it.
 * Arguments: the folder that the node may write to, then its settings as KEY=VALUE.
 */
public final class OpenSearchNode {
    public static void main(String[] arguments) throws InterruptedException {
        Path folder = Path.of(arguments[0]);
        Map<String, String> settings = new TreeMap<>();
        for (int i = 1; i < arguments.length; i++) {
            String[] pair = arguments[i].split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        OpenSearchRunner runner = new OpenSearchRunner();
        runner.setMaxHttpPort(-1); // A taken port is an error, not a reason to take the next one.
        runner.onBuild((number, builder) -> settings.forEach(builder::put));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> close(runner)));
        try {
            runner.build(OpenSearchRunner.newConfigs()
                .basePath(folder.toString())
                .clusterName(settings.get("cluster.name"))
                .numOfNode(1));
        } catch (RuntimeException failure) {
            failure.printStackTrace();
            System.exit(1);
        }
        new CountDownLatch(1).await(); // OpenSearch's own threads do not keep a process alive.
    }

    private static void close(OpenSearchRunner runner) {
        try {
            runner.close();
        } catch (Exception failure) {
            failure.printStackTrace();
        }
    }
}
