import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.elasticsearch.ResourceNotFoundException;
import org.elasticsearch.action.ActionRequestValidationException;
import org.elasticsearch.action.support.master.AcknowledgedResponse;
import org.elasticsearch.client.internal.OriginSettingClient;
import org.elasticsearch.client.internal.node.NodeClient;
import org.elasticsearch.cluster.metadata.ItemUsage;
import org.elasticsearch.cluster.service.ClusterService;
import org.elasticsearch.common.Strings;
import org.elasticsearch.common.regex.Regex;
import org.elasticsearch.common.settings.Setting;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.core.TimeValue;
import org.elasticsearch.rest.RestChannel;
import org.elasticsearch.rest.RestRequest;
import org.elasticsearch.rest.RestRequest.Method;
import org.elasticsearch.rest.RestUtils;
import org.elasticsearch.rest.action.RestChunkedToXContentListener;
import org.elasticsearch.rest.action.RestToXContentListener;
import org.elasticsearch.xcontent.ContextParser;
import org.elasticsearch.xcontent.NamedXContentRegistry;
import org.elasticsearch.xcontent.ParseField;
import org.elasticsearch.xcontent.XContentParser;
import org.elasticsearch.xcontent.XContentParserConfiguration;
import org.elasticsearch.xcontent.XContentType;
import org.elasticsearch.xpack.core.ClientHelper;
import org.elasticsearch.xpack.core.ilm.*;
import org.elasticsearch.xpack.core.ilm.action.GetLifecycleAction;
import org.elasticsearch.xpack.core.ilm.action.PutLifecycleRequest;

/**
 * PUT, GET and DELETE of _ilm/policy, and the index settings that name a policy. The
 * classes are Elasticsearch's own, so that a policy is refused here for what it would be
 * refused for there. The cluster's settings keep the policies, and so they outlive the node.
 *
 * NOTHING EXECUTES A POLICY: no index rolls over, and none is deleted, by itself. Whether
 * an index uses a policy is not known either.
 */
final class LifecyclePolicies extends GuardedHandler {
    /** The setting of each policy holds its metadata as JSON. */
    private static final Setting<Settings> KEPT =
        Setting.groupSetting("annals.test.ilm.", Setting.Property.Dynamic, Setting.Property.NodeScope);

    static final List<Setting<?>> SETTINGS = List.of(
        KEPT,
        LifecycleSettings.LIFECYCLE_NAME_SETTING,
        LifecycleSettings.LIFECYCLE_INDEXING_COMPLETE_SETTING,
        LifecycleSettings.LIFECYCLE_POLL_INTERVAL_SETTING,
        LifecycleSettings.LIFECYCLE_ROLLOVER_ONLY_IF_HAS_DOCUMENTS_SETTING,
        LifecycleSettings.LIFECYCLE_STEP_WAIT_TIME_THRESHOLD_SETTING,
        RolloverAction.LIFECYCLE_ROLLOVER_ALIAS_SETTING);

    @SuppressWarnings("deprecation") // FreezeAction does nothing any more, but policies may name it.
    static final List<NamedXContentRegistry.Entry> PARSERS = List.of(
        new NamedXContentRegistry.Entry(LifecycleType.class,
            new ParseField(TimeseriesLifecycleType.TYPE), parser -> TimeseriesLifecycleType.INSTANCE),
        action(AllocateAction.NAME, (parser, name) -> AllocateAction.parse(parser)),
        action(DeleteAction.NAME, (parser, name) -> DeleteAction.parse(parser)),
        action(DownsampleAction.NAME, (parser, name) -> DownsampleAction.parse(parser)),
        action(ForceMergeAction.NAME, (parser, name) -> ForceMergeAction.parse(parser)),
        action(FreezeAction.NAME, (parser, name) -> FreezeAction.parse(parser)),
        action(MigrateAction.NAME, (parser, name) -> MigrateAction.parse(parser)),
        action(ReadOnlyAction.NAME, (parser, name) -> ReadOnlyAction.parse(parser)),
        action(RolloverAction.NAME, (parser, name) -> RolloverAction.parse(parser)),
        action(SearchableSnapshotAction.NAME, (parser, name) -> SearchableSnapshotAction.parse(parser)),
        action(SetPriorityAction.NAME, (parser, name) -> SetPriorityAction.parse(parser)),
        action(ShrinkAction.NAME, (parser, name) -> ShrinkAction.parse(parser)),
        action(UnfollowAction.NAME, (parser, name) -> UnfollowAction.parse(parser)),
        action(WaitForSnapshotAction.NAME, (parser, name) -> WaitForSnapshotAction.parse(parser)));

    private static NamedXContentRegistry.Entry action(String name, ContextParser<Object, LifecycleAction> parser) {
        return new NamedXContentRegistry.Entry(LifecycleAction.class, new ParseField(name), parser);
    }

    private final ClusterService cluster;

    LifecyclePolicies(ClusterService cluster) {
        this.cluster = cluster;
    }

    @Override
    public String getName() {
        return "annals_lifecycle_policies";
    }

    @Override
    public List<Route> routes() {
        return List.of(
            new Route(Method.GET, "/_ilm/policy"),
            new Route(Method.GET, "/_ilm/policy/{name}"),
            new Route(Method.PUT, "/_ilm/policy/{name}"),
            new Route(Method.DELETE, "/_ilm/policy/{name}"));
    }

    @Override
    protected RestChannelConsumer prepareRequest(RestRequest request, NodeClient client) throws IOException {
        String name = request.param("name", "*");
        TimeValue masterTimeout = RestUtils.getMasterNodeTimeout(request);
        if (request.method() == Method.GET) {
            return guarded(client,
                channel -> new RestChunkedToXContentListener<GetLifecycleAction.Response>(channel)
                    .onResponse(new GetLifecycleAction.Response(find(Strings.splitStringByCommaToArray(name)))),
                "read_ilm", "manage_ilm");
        }
        Change change = new Change(name, client, masterTimeout, RestUtils.getAckTimeout(request));
        if (request.method() == Method.DELETE) {
            return guarded(client, change::delete, "manage_ilm");
        }
        PutLifecycleRequest put = parse(request, change);
        return guarded(client, channel -> change.put(put, channel), "manage_ilm");
    }

    private List<GetLifecycleAction.LifecyclePolicyResponseItem> find(String[] patterns) throws IOException {
        Map<String, LifecyclePolicyMetadata> policies = policies();
        List<GetLifecycleAction.LifecyclePolicyResponseItem> found = new ArrayList<>();
        for (String pattern : patterns) {
            if (Regex.isSimpleMatchPattern(pattern) == false && policies.containsKey(pattern) == false) {
                throw new ResourceNotFoundException("Lifecycle policy not found: {}", pattern);
            }
            policies.forEach((name, policy) -> {
                if (Regex.simpleMatch(pattern, name)) {
                    found.add(new GetLifecycleAction.LifecyclePolicyResponseItem(
                        policy.getPolicy(), policy.getVersion(), policy.getModifiedDateString(), ItemUsage.EMPTY));
                }
            });
        }
        return found;
    }

    private Map<String, LifecyclePolicyMetadata> policies() throws IOException {
        XContentParserConfiguration parsers = XContentParserConfiguration.EMPTY.withRegistry(new NamedXContentRegistry(PARSERS));
        Settings kept = KEPT.get(cluster.state().metadata().persistentSettings());
        Map<String, LifecyclePolicyMetadata> policies = new TreeMap<>();
        for (String name : kept.keySet()) {
            try (XContentParser json = XContentType.JSON.xContent().createParser(parsers, kept.get(name))) {
                policies.put(name, LifecyclePolicyMetadata.parse(json, name));
            }
        }
        return policies;
    }

    private static PutLifecycleRequest parse(RestRequest request, Change change) throws IOException {
        try (XContentParser body = request.contentParser()) {
            return PutLifecycleRequest.parseRequest(new PutLifecycleRequest.Factory() {
                @Override
                public PutLifecycleRequest create(LifecyclePolicy policy) {
                    return new PutLifecycleRequest(change.masterTimeout, change.timeout, policy);
                }

                @Override
                public String getPolicyName() {
                    return change.name;
                }
            }, body);
        }
    }

    /** A change of one policy. An exception that is thrown here becomes the answer. */
    private final class Change {
        private final String name;
        private final NodeClient client;
        private final TimeValue masterTimeout;
        private final TimeValue timeout;

        Change(String name, NodeClient client, TimeValue masterTimeout, TimeValue timeout) {
            this.name = name;
            this.client = client;
            this.masterTimeout = masterTimeout;
            this.timeout = timeout;
        }

        void put(PutLifecycleRequest put, RestChannel channel) throws IOException {
            ActionRequestValidationException invalid = put.validate();
            if (invalid != null) {
                throw invalid;
            }
            LifecyclePolicy.validatePolicyName(name);
            LifecyclePolicyMetadata before = policies().get(name);
            if (before != null && before.getPolicy().equals(put.getPolicy())) {
                new RestToXContentListener<AcknowledgedResponse>(channel).onResponse(AcknowledgedResponse.TRUE);
                return;
            }
            long version = before == null ? 1 : before.getVersion() + 1;
            keep(Strings.toString(new LifecyclePolicyMetadata(
                put.getPolicy(), Map.of(), version, System.currentTimeMillis())), channel);
        }

        void delete(RestChannel channel) throws IOException {
            if (policies().containsKey(name) == false) {
                throw new ResourceNotFoundException("Lifecycle policy not found: {}", name);
            }
            keep(null, channel); // Null unsets a setting.
        }

        private void keep(String json, RestChannel channel) {
            // Who may change policies need not be one who may change settings.
            new OriginSettingClient(client, ClientHelper.INDEX_LIFECYCLE_ORIGIN).admin().cluster()
                .prepareUpdateSettings(masterTimeout, timeout)
                .setPersistentSettings(Settings.builder().put(KEPT.getKey() + name, json))
                .execute(new RestToXContentListener<AcknowledgedResponse>(channel)
                    .map(done -> AcknowledgedResponse.of(done.isAcknowledged())));
        }
    }
}
