import org.elasticsearch.ElasticsearchSecurityException;
import org.elasticsearch.client.internal.node.NodeClient;
import org.elasticsearch.rest.BaseRestHandler;
import org.elasticsearch.rest.RestStatus;
import org.elasticsearch.rest.action.RestActionListener;
import org.elasticsearch.xpack.core.XPackSettings;
import org.elasticsearch.xpack.core.security.SecurityContext;
import org.elasticsearch.xpack.core.security.action.user.HasPrivilegesAction;
import org.elasticsearch.xpack.core.security.action.user.HasPrivilegesRequest;
import org.elasticsearch.xpack.core.security.action.user.HasPrivilegesResponse;
import org.elasticsearch.xpack.core.security.authz.RoleDescriptor;

/**
 * A handler that asks for the privilege that the full product asks for. What is handled
 * here has no action of its own for which the engine would do so.
 */
abstract class GuardedHandler extends BaseRestHandler {
    /** The same work, for those who have the first of these cluster privileges, which the others include. */
    static RestChannelConsumer guarded(NodeClient client, RestChannelConsumer work, String... privileges) {
        if (XPackSettings.SECURITY_ENABLED.get(client.settings()) == false) {
            return work;
        }
        String user =
            new SecurityContext(client.settings(), client.threadPool().getThreadContext()).requireUser().principal();
        HasPrivilegesRequest question = new HasPrivilegesRequest();
        question.username(user);
        question.clusterPrivileges(privileges[0]);
        question.indexPrivileges(new RoleDescriptor.IndicesPrivileges[0]);
        question.applicationPrivileges(new RoleDescriptor.ApplicationResourcePrivileges[0]);
        return channel -> client.execute(HasPrivilegesAction.INSTANCE, question,
            new RestActionListener<HasPrivilegesResponse>(channel) {
                @Override
                protected void processResponse(HasPrivilegesResponse answer) throws Exception {
                    if (answer.isCompleteMatch() == false) {
                        throw new ElasticsearchSecurityException(
                            "this is unauthorized for user [{}], it is granted by the cluster privileges [{},manage,all]",
                            RestStatus.FORBIDDEN, user, String.join(",", privileges));
                    }
                    work.accept(channel);
                }
            });
    }
}
