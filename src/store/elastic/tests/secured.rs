//! The store on an Elasticsearch with TLS, users and privileges, whose certificate is signed by a private authority.

use std::panic::{AssertUnwindSafe, resume_unwind};

use futures_util::FutureExt;
use serde_json::{Value, json};

use super::{config, engines::query, events, fresh_chain, fresh_name};
use crate::{
    event::Stream,
    query::ScopedQuery,
    store::{
        EventIndex, EventSink, IndexError, Outcome, SinkError,
        conformance::suite,
        elastic::{
            ApiKey, Auth, Basic, Bearer, ElasticConfig, ElasticStore, Secret,
            flavor::{Flavor, Lifecycle},
            lifecycle::Policy,
            names,
            setup::Series,
        },
        testing::{SecuredEngine, secured_engine, stub_of},
    },
};

/// The resources of one test in the engine.
struct Secured {
    engine: SecuredEngine,
    index_prefix: String,
    /// The name of its user, role, token and key.
    name: String,
}

impl Secured {
    /// Returns `None` if there is no such engine.
    fn new(index_prefix: &str) -> Option<Self> {
        let name = fresh_name();
        Some(Self { engine: secured_engine()?, index_prefix: format!("{index_prefix}{name}"), name })
    }

    fn config(&self, auth: Auth) -> ElasticConfig {
        let ca_file = Some(self.engine.ca_file.clone());
        ElasticConfig { auth, ca_file, index_prefix: self.index_prefix.clone(), ..config(&[&self.engine.url]) }
    }

    /// Opens a store; all stores of one test use the same names in the engine.
    fn store(&self, auth: Auth) -> ElasticStore {
        ElasticStore::new(&self.config(auth)).unwrap()
    }

    /// Opens the store with the superuser's credentials.
    fn admin(&self) -> ElasticStore {
        self.store(self.admin_auth())
    }

    fn admin_auth(&self) -> Auth {
        let password_file = Some(self.engine.password_file.clone());
        basic(Basic { login: "elastic".to_owned(), password_file, password: None })
    }

    /// Creates a user with these privileges; each call redefines the same one.
    async fn user(&self, privileges: &Privileges) -> Auth {
        let (admin, password) = (self.admin(), fresh_name());
        admin.put(&format!("_security/role/{}", self.name), self.role(privileges)).await;
        let user = json!({"password": password, "roles": [self.name]});
        admin.put(&format!("_security/user/{}", self.name), user).await;
        let password = Some(Secret::new(password));
        basic(Basic { login: self.name.clone(), password, password_file: None })
    }

    fn role(&self, privileges: &Privileges) -> Value {
        let indices = json!({"names": [format!("{}-event-log-*", self.index_prefix)], "privileges": privileges.index});
        json!({"cluster": privileges.cluster, "indices": [indices]})
    }

    async fn remove(&self) {
        let admin = self.admin();
        for made in ["user", "role", "service/elastic/kibana/credential/token"] {
            // Most tests have created only some of these. Keys expire by themselves.
            admin.client.delete(&format!("_security/{made}/{}", self.name)).await.unwrap();
        }
        admin.remove().await;
    }
}

fn basic(basic: Basic) -> Auth {
    Auth { basic: Some(basic), ..Auth::default() }
}

fn bearer(token: &str) -> Auth {
    Auth { bearer: Some(Bearer { token: Some(Secret::new(token)), token_file: None }), ..Auth::default() }
}

fn api_key(api_key: ApiKey) -> Auth {
    Auth { api_key: Some(api_key), ..Auth::default() }
}

/// Runs a case on the engine, if there is one, and removes the resources it created.
async fn on_secured(index_prefix: &str, case: impl AsyncFn(&Secured)) {
    let Some(secured) = Secured::new(index_prefix) else { return };
    let result = AssertUnwindSafe(case(&secured)).catch_unwind().await;
    secured.remove().await;
    if let Err(panic) = result {
        resume_unwind(panic);
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Privileges {
    cluster: Vec<&'static str>,
    index: Vec<&'static str>,
}

impl Privileges {
    /// Reads the privileges that a document says the user needs.
    fn named_in(document: &'static str) -> Self {
        let (_, named) = document.split_once("the cluster privileges ").unwrap();
        let (cluster, named) = named.split_once("event-log-*` the index privileges ").unwrap();
        let (index, _) = named.split_once('.').unwrap();
        let names = |text: &'static str| text.split('`').skip(1).step_by(2);
        let words = |text| names(text).filter(|name| name.bytes().all(|b| b == b'_' || b.is_ascii_lowercase()));
        Self { cluster: words(cluster).collect(), index: words(index).collect() }
    }

    fn named() -> Self {
        Self::named_in(include_str!("../mod.rs"))
    }

    /// Returns the privileges without one of them, for each of them.
    fn without_one(&self) -> Vec<(&'static str, Self)> {
        let without = |list: &[&'static str], name| list.iter().copied().filter(|other| *other != name).collect();
        let cluster =
            self.cluster.iter().map(|name| (*name, Self { cluster: without(&self.cluster, *name), ..self.clone() }));
        let index = self.index.iter().map(|name| (*name, Self { index: without(&self.index, *name), ..self.clone() }));
        cluster.chain(index).collect()
    }
}

/// Does everything that a store ever does; fails where a step is denied.
async fn whole_job(store: &ElasticStore, admin: &ElasticStore) -> Result<(), SinkError> {
    let general = Stream::general();
    let batch = events(fresh_chain(), 0..3);
    store.setup(std::slice::from_ref(&general)).await?;
    let first = store.target(&general).await?;
    let stub = stub_of(&batch[0]);
    assert_eq!(store.append(&first, &[stub, batch[1].clone()]).await?, [Outcome::Stored, Outcome::Stored]);
    assert_eq!(store.replace(&first, &batch[0]).await?, Outcome::Stored);
    roll_over(store).await?;
    assert_ne!(store.target(&general).await?, first);
    let again = store.append(&first, &batch).await?;
    assert_eq!(again, [Outcome::Duplicate, Outcome::Duplicate, Outcome::Stored]);
    admin.delete(&format!("{}/_alias/{}", first.0, names::writer(&first.0))).await;
    let restored = unless_denied(store.append(&first, &batch).await)?;
    assert!(matches!(restored, SinkError::Unavailable { .. }), "{restored:?}");
    assert_eq!(store.append(&first, &batch).await?, vec![Outcome::Duplicate; 3]);
    store.make_visible().await?;
    assert_eq!(store.find(&ScopedQuery::new(query())).await.map_err(unless_found)?.total, 3);
    assert_eq!(store.head(batch[2].position.chain).await?.map(|head| head.position), Some(batch[2].position));
    admin.delete(&first.0).await;
    let lost = unless_denied(store.append(&first, &batch).await)?;
    assert!(matches!(lost, SinkError::TargetLost { .. }), "{lost:?}");
    Ok(())
}

/// Rolls over as Annals does where the engine does not.
async fn roll_over(store: &ElasticStore) -> Result<(), SinkError> {
    let policy = json!({"policy": {"phases": {"hot": {"actions": {"rollover": {"max_docs": 1}}}}}});
    let flavor = Flavor { lifecycle: Lifecycle::Own, ..store.flavor().await? };
    store.make_visible().await?;
    let series = Series::new(&store.client, &store.names, flavor, &store.own, &Stream::general())?;
    Ok(series.roll_over_if_due(&Policy::read(&policy.to_string()).unwrap()).await?)
}

fn unless_found(error: IndexError) -> SinkError {
    let IndexError::Denied { reason } = error else { panic!("{error:?}") };
    SinkError::Denied { reason }
}

/// Returns the error of a call that must fail, but not for lack of a privilege.
fn unless_denied(result: Result<Vec<Outcome>, SinkError>) -> Result<SinkError, SinkError> {
    let error = result.unwrap_err();
    if matches!(error, SinkError::Denied { .. }) { Err(error) } else { Ok(error) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_privileges_that_are_named_are_enough() {
    assert_eq!(Privileges::named(), Privileges::named_in(include_str!("../../../../docs/operations.md")));
    on_secured(".t", async |secured| {
        let store = secured.store(secured.user(&Privileges::named()).await);
        whole_job(&store, &secured.admin()).await.unwrap();
        suite(&store).await;
    })
    .await;
}

#[tokio::test]
async fn without_one_of_them_something_is_denied_with_its_reason() {
    for (missing, privileges) in Privileges::named().without_one() {
        on_secured(".t", async |secured| {
            let store = secured.store(secured.user(&privileges).await);
            let error = whole_job(&store, &secured.admin()).await;
            let Err(SinkError::Denied { reason }) = &error else { panic!("without {missing}: {error:?}") };
            let who = format!("is unauthorized for user [{}]", secured.name);
            assert!(
                reason.contains("HTTP 403") && reason.contains(&who) && reason.contains(missing),
                "{missing}: {reason}"
            );
        })
        .await;
    }
}

#[tokio::test]
async fn an_api_key_does_as_well_as_a_user() {
    on_secured(".t", async |secured| {
        let roles = json!({"annals": secured.role(&Privileges::named())});
        let key = json!({"name": secured.name, "expiration": "1h", "role_descriptors": roles});
        let key = secured.admin().post("_security/api_key", key).await;
        let part = |name: &str| key[name].as_str().unwrap().to_owned();
        let secret = |name: &str| Some(Secret::new(part(name)));
        for key in [
            ApiKey { id: Some(part("id")), key: secret("api_key"), ..ApiKey::default() },
            ApiKey { encoded: secret("encoded"), ..ApiKey::default() },
        ] {
            whole_job(&secured.store(api_key(key)), &secured.admin()).await.unwrap();
        }
    })
    .await;
}

/// A service's token does not expire, unlike those of users. Kibana's may do everything under its own names.
#[tokio::test]
async fn the_token_of_a_service_does_as_well_as_a_user() {
    on_secured(".kibana-t", async |secured| {
        let path = format!("_security/service/elastic/kibana/credential/token/{}", secured.name);
        let token = secured.admin().post(&path, Value::Null).await;
        let auth = bearer(token["token"]["value"].as_str().unwrap());
        whole_job(&secured.store(auth), &secured.admin()).await.unwrap();
    })
    .await;
}

async fn set_up_in_vain(config: &ElasticConfig) -> SinkError {
    ElasticStore::new(config).unwrap().setup(&[Stream::general()]).await.unwrap_err()
}

#[tokio::test]
async fn wrong_credentials_are_denied_and_not_shown() {
    const WRONG: &str = "d3JvbmcyOndyb25nLXNlY3JldA==";
    let secret = || Some(Secret::new(WRONG));
    let login = "elastic".to_owned();
    on_secured(".t", async |secured| {
        for auth in [
            basic(Basic { login: login.clone(), password: secret(), password_file: None }),
            bearer(WRONG),
            api_key(ApiKey { id: Some("nobody".to_owned()), key: secret(), ..ApiKey::default() }),
            api_key(ApiKey { encoded: secret(), ..ApiKey::default() }),
        ] {
            let error = set_up_in_vain(&secured.config(auth)).await;
            assert!(matches!(&error, SinkError::Denied { reason } if reason.contains("HTTP 401")), "{error:?}");
            assert!(!format!("{error} {error:?}").contains(WRONG), "{error:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_unknown_authority_or_no_tls_is_no_connection_and_the_password_is_not_shown() {
    on_secured(".t", async |secured| {
        let password = std::fs::read_to_string(&secured.engine.password_file).unwrap();
        let known = secured.config(secured.admin_auth());
        let stranger = set_up_in_vain(&ElasticConfig { ca_file: None, ..known.clone() }).await;
        assert!(
            matches!(&stranger, SinkError::Unavailable { reason, .. } if reason.contains("certificate")),
            "{stranger:?}"
        );
        let urls = vec![secured.engine.url.replace("https:", "http:").parse().unwrap()];
        let plain = set_up_in_vain(&ElasticConfig { urls, ..known }).await;
        assert!(
            matches!(&plain, SinkError::Unavailable { reason, .. } if reason.contains("cannot be reached")),
            "{plain:?}"
        );
        assert!(!format!("{stranger:?} {plain:?}").contains(password.trim()));
    })
    .await;
}
