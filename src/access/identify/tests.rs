use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD, prelude::BASE64_STANDARD};
use ring::{
    rand::SystemRandom,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair},
};
use serde_json::{Value, json};

use super::*;
use crate::access::{
    Grant, GrantText, Identified, Role,
    tests::{Log, Other, basic, shown, text},
};

const NOW_SECONDS: i64 = 1_700_000_000;

fn grants(identified: Identified) -> Vec<GrantText> {
    match identified {
        Identified::Known(principal) => principal.grants.iter().map(Grant::text).collect(),
        other => panic!("{other:?}"),
    }
}

const RULES: [(&str, &str); 8] = [
    ("access.rules.boss.authenticator", "elasticsearch"),
    ("access.rules.boss.values", "superuser"),
    ("access.rules.boss.role", "admin"),
    ("access.rules.team.authenticator", "elasticsearch"),
    ("access.rules.team.claim", "username"),
    ("access.rules.team.values", "ali*,bob"),
    ("access.rules.team.role", "space-auditor"),
    ("access.rules.team.spaces", "team,ops"),
];

fn user(name: &str, roles: &[&str]) -> Value {
    json!({"username": name, "roles": roles, "enabled": true, "authentication_type": "realm"})
}

#[tokio::test]
async fn elasticsearch_vouches_for_its_users_and_rules_give_them_roles() {
    let engine = Other::start().await;
    let settings = [
        [("access.authenticators", "api_keys,elasticsearch"), ("access.elasticsearch.urls", &engine.url)].as_slice(),
        &RULES,
    ]
    .concat();
    let log = Log::new(&settings);
    engine.answers([(200, user("alice", &["superuser"]))]);
    let identified = log.ask(&shown(&basic("alice"))).await;
    assert_eq!(grants(identified), [text(Role::Admin, &[]), text(Role::SpaceAuditor, &["team", "ops"])]);
    let seen = engine.seen();
    assert_eq!((seen.len(), seen[0].0.as_str()), (1, "GET /_security/_authenticate"));
    assert_eq!(seen[0].1["authorization"], basic("alice").as_str());
    // Cached: these credentials, and no others.
    assert_eq!(log.name(&basic("alice")).await.as_deref(), Some("elasticsearch:alice"));
    assert!(engine.seen().is_empty());
    engine.answers([(200, user("carol", &["viewer"]))]);
    assert_eq!(grants(log.ask(&shown("ApiKey abc")).await), []);
    assert_eq!(engine.seen().len(), 1);

    engine.answers([(401, json!({"error": {}}))]);
    assert!(matches!(log.ask(&shown(&basic("mallory"))).await, Identified::Unknown(_)));
    // Not cached: a refused caller is asked about again.
    assert_eq!(log.name(&basic("mallory")).await, None);
    assert_eq!(engine.seen().len(), 2);
}

#[tokio::test]
async fn own_keys_go_to_no_other_system_and_work_even_if_one_fails() {
    let engine = Other::start().await;
    engine.answers([(500, json!({}))]);
    for order in ["api_keys,elasticsearch", "elasticsearch,api_keys"] {
        let log = Log::new(&[("access.authenticators", order), ("access.elasticsearch.urls", &engine.url)]);
        for scheme in ["ApiKey", "Bearer"] {
            assert_eq!(log.name(&format!("{scheme} {}", log.key)).await.as_deref(), Some("api_key:admin"), "{order}");
        }
        assert_eq!(log.name("ApiKey annals_unknown").await, None);
    }
    assert!(engine.seen().is_empty());
    let log = Log::new(&[("access.authenticators", "elasticsearch"), ("access.elasticsearch.urls", &engine.url)]);
    assert_eq!(log.name(&format!("ApiKey {}", log.key)).await, None);
}

#[tokio::test]
async fn a_system_that_does_not_answer_leaves_the_caller_undetermined() {
    let (engine, second) = (Other::start().await, Other::start().await);
    let urls = format!("http://127.0.0.1:1,{}", engine.url);
    let log = Log::new(&[("access.authenticators", "api_keys,elasticsearch"), ("access.elasticsearch.urls", &urls)]);
    for (status, body) in [(500, json!({})), (429, json!({})), (404, json!({})), (200, json!("not a user"))] {
        engine.answers([(status, body.clone())]);
        let identified = log.ask(&shown(&basic("alice"))).await;
        let is_open = matches!(identified, Identified::Unavailable(_));
        assert_eq!(is_open, status != 200, "{status}: {identified:?}");
        assert!(!matches!(identified, Identified::Known(_)));
        assert!(!format!("{identified:?}").contains(&basic("alice")));
    }
    // A dead first node is skipped, and one unavailable system does not keep the next from answering.
    engine.answers([(200, user("alice", &[]))]);
    assert_eq!(log.name(&basic("alice")).await.as_deref(), Some("elasticsearch:alice"));
    let log = Log::new(&[
        ("access.authenticators", "elasticsearch,kibana"),
        ("access.elasticsearch.urls", "http://127.0.0.1:1"),
        ("access.kibana.urls", &second.url),
    ]);
    second.answers([(200, user("bob", &[]))]);
    assert_eq!(log.name(&basic("bob")).await.as_deref(), Some("kibana:bob"));
}

#[tokio::test]
async fn kibana_vouches_for_sessions_and_credentials() {
    let kibana = Other::start().await;
    let base = format!("{}/base", kibana.url);
    let log = Log::new(&[
        ("access.authenticators", "kibana"),
        ("access.kibana.urls", &base),
        ("access.rules.a.authenticator", "kibana"),
        ("access.rules.a.values", "viewer"),
        ("access.rules.a.role", "reader"),
        ("access.rules.a.spaces", "*"),
    ]);
    kibana.answers([(200, user("alice", &["viewer"]))]);
    let session = Credentials::default().with_session("Fe26.2**x");
    assert_eq!(grants(log.ask(&session).await), [text(Role::Reader, &["*"])]);
    let seen = kibana.seen();
    assert_eq!(
        (seen[0].0.as_str(), &seen[0].1["cookie"]),
        ("GET /base/internal/security/me", &"sid=Fe26.2**x".parse().unwrap())
    );
    assert!(seen[0].1.contains_key("x-elastic-internal-origin") && !seen[0].1.contains_key("authorization"));
    assert_eq!(log.name(&basic("alice")).await.as_deref(), Some("kibana:alice"));
    assert_eq!(kibana.seen()[0].1["authorization"], basic("alice").as_str());

    // Kibana redirects unknown callers to the login page.
    for status in [401, 302] {
        kibana.answers([(status, json!({}))]);
        assert!(matches!(log.ask(&Credentials::default().with_session("old")).await, Identified::Unknown(_)));
    }
    kibana.answers([(503, json!({}))]);
    assert!(matches!(log.ask(&Credentials::default().with_session("old")).await, Identified::Unavailable(_)));
}

/// A signer of tokens, with its public key as an issuer publishes it.
struct Signer {
    id: &'static str,
    algorithm: &'static str,
    kind: SignerKind,
}

enum SignerKind {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Made for this test and used nowhere else: no library here makes keys of this kind.
const RSA_KEY: &str = include_str!("rsa-test-key.b64");

impl Signer {
    fn rsa(id: &'static str) -> Self {
        let der = BASE64_STANDARD.decode(RSA_KEY.replace('\n', "")).unwrap();
        Self { id, algorithm: "RS256", kind: SignerKind::Rsa(RsaKeyPair::from_der(&der).unwrap()) }
    }

    fn p256(id: &'static str) -> Self {
        let random = SystemRandom::new();
        let algorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let der = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref(), &random).unwrap();
        Self { id, algorithm: "ES256", kind: SignerKind::P256(key) }
    }

    fn ed25519(id: &'static str) -> Self {
        let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let key = Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap();
        Self { id, algorithm: "EdDSA", kind: SignerKind::Ed25519(key) }
    }

    fn jwk(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.kind {
            SignerKind::Rsa(key) => {
                let public: signature::RsaPublicKeyComponents<Vec<u8>> = key.public().into();
                json!({"kty": "RSA", "n": encode(&public.n), "e": encode(&public.e)})
            }
            SignerKind::P256(key) => {
                let point = key.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..])})
            }
            SignerKind::Ed25519(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(key.public_key().as_ref())})
            }
        };
        let members = jwk.as_object_mut().unwrap();
        members.extend([("kid".to_owned(), json!(self.id)), ("use".to_owned(), json!("sig"))]);
        jwk
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_with(&json!({"alg": self.algorithm, "kid": self.id, "typ": "JWT"}), claims)
    }

    fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let random = SystemRandom::new();
        let signature = match &self.kind {
            SignerKind::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&signature::RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
            SignerKind::P256(key) => key.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
            SignerKind::Ed25519(key) => key.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn key_set(signers: &[&Signer]) -> (u16, Value) {
    (200, json!({"keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()}))
}

const ISSUER: &str = "https://issuer.example/realm";

fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": ["other", "annals"], "sub": "alice", "exp": NOW_SECONDS + 60, "nbf": NOW_SECONDS - 60,
        "realm_access": {"roles": ["audit"]},
    });
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims
}

fn oidc(jwks: &str) -> Log {
    Log::new(&[
        ("access.authenticators", "api_keys,oidc"),
        ("access.oidc.issuer", ISSUER),
        ("access.oidc.audience", "annals"),
        ("access.oidc.jwks_url", jwks),
        ("access.rules.a.authenticator", "oidc"),
        ("access.rules.a.claim", "realm_access.roles"),
        ("access.rules.a.values", "audit"),
        ("access.rules.a.role", "auditor"),
    ])
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test]
async fn a_token_of_each_kind_of_key_is_valid_and_its_claims_give_roles() {
    let issuer = Other::start().await;
    let signers = [Signer::rsa("r"), Signer::p256("p"), Signer::ed25519("e")];
    issuer.answers([key_set(&signers.each_ref())]);
    let log = oidc(&format!("{}/keys", issuer.url));
    for signer in &signers {
        let identified = log.ask(&shown(&bearer(&signer.sign(&claims(json!({})))))).await;
        assert_eq!(grants(identified), [text(Role::Auditor, &[])], "{}", signer.algorithm);
        let header = json!({"alg": signer.algorithm});
        let without_id = signer.sign_with(&header, &claims(json!({"aud": "annals", "nbf": null})));
        assert_eq!(log.name(&bearer(&without_id)).await.as_deref(), Some("oidc:alice"), "{}", signer.algorithm);
    }
    let seen = issuer.seen();
    assert_eq!((seen.len(), seen[0].0.as_str()), (1, "GET /keys"), "the keys were fetched once");
}

#[tokio::test]
async fn a_token_for_others_or_expired_or_by_another_issuer_is_invalid() {
    let issuer = Other::start().await;
    let (signer, rsa, other) = (Signer::ed25519("e"), Signer::rsa("r"), Signer::ed25519("e"));
    issuer.answers([key_set(&[&signer, &rsa])]);
    let log = oidc(&format!("{}/keys", issuer.url));
    assert!(log.name(&bearer(&signer.sign(&claims(json!({}))))).await.is_some());
    // Within the leeway of one minute.
    for edge in [json!({"exp": NOW_SECONDS - 59}), json!({"nbf": NOW_SECONDS + 60}), json!({"exp": 1_700_000_000.5})] {
        assert!(log.name(&bearer(&signer.sign(&claims(edge.clone())))).await.is_some(), "{edge}");
    }
    let wrong = [
        json!({"iss": "https://issuer.example"}),
        json!({"iss": format!("{ISSUER}/")}),
        json!({"iss": null}),
        json!({"aud": "Annals"}),
        json!({"aud": []}),
        json!({"aud": null}),
        json!({"exp": NOW_SECONDS - 60}),
        json!({"exp": null}),
        json!({"exp": "2030"}),
        json!({"nbf": NOW_SECONDS + 61}),
        json!({"nbf": "x"}),
        json!({"sub": ""}),
        json!({"sub": null}),
        json!({"sub": 7}),
    ];
    for change in wrong {
        assert_eq!(log.name(&bearer(&signer.sign(&claims(change.clone())))).await, None, "{change}");
    }
    let good = claims(json!({}));
    let token = signer.sign(&good);
    let (signed, _) = token.rsplit_once('.').unwrap();
    let secret = URL_SAFE_NO_PAD.decode(signer.jwk()["x"].as_str().unwrap()).unwrap();
    let shared_secret = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret), signed.as_bytes());
    // Signed with the public key used as a shared secret.
    let rsa_key = rsa.jwk();
    let texts =
        [rsa_key["n"].as_str().unwrap().to_owned(), rsa_key.to_string(), signer.jwk().to_string(), String::new()];
    let known = texts.iter().flat_map(|text| [Some(text.clone().into_bytes()), URL_SAFE_NO_PAD.decode(text).ok()]);
    for (secret, id) in
        known.flatten().chain([secret.clone()]).flat_map(|secret| [(secret.clone(), "e"), (secret, "r")])
    {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": "HS256", "kid": id}).to_string());
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(good.to_string()));
        let mac = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret), signed.as_bytes());
        let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.as_ref()));
        assert_eq!(log.name(&bearer(&forged)).await, None, "{id}");
    }
    let forged = [
        other.sign(&good),
        format!("{signed}."),
        signed.to_owned(),
        format!("{signed}.AAAA"),
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(shared_secret.as_ref())),
        signer.sign_with(&json!({"alg": "none", "kid": "e"}), &good),
        signer.sign_with(&json!({"alg": "HS256", "kid": "e"}), &good),
        signer.sign_with(&json!({"alg": "RS256", "kid": "r"}), &good),
        signer.sign_with(&json!({"alg": "RS256", "kid": "e"}), &good),
        signer.sign_with(&json!({"alg": "EdDSA", "kid": "r"}), &good),
        signer.sign_with(&json!({"alg": "EdDSA", "kid": "e", "crit": ["b64"], "b64": false}), &good),
        token.replace('.', ".."),
        format!("{token}x"),
        format!("{}x{token}", "A".repeat(20_000)),
    ];
    for token in forged {
        assert_eq!(log.name(&bearer(&token)).await, None, "{}", token.chars().take(80).collect::<String>());
    }
    // A token is no API key, and vice versa.
    assert_eq!(log.name(&format!("ApiKey {token}")).await, None);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_may_change_its_keys_and_be_away_for_a_while() {
    let issuer = Other::start().await;
    let (first, second, third) = (Signer::p256("1"), Signer::p256("2"), Signer::p256("3"));
    let log = oidc(&format!("{}/keys", issuer.url));
    let token = |signer: &Signer| shown(&bearer(&signer.sign(&claims(json!({})))));
    issuer.answers([(500, json!({}))]);
    assert!(matches!(log.ask(&token(&first)).await, Identified::Unavailable(_)));
    assert!(matches!(log.ask(&token(&first)).await, Identified::Unavailable(_)));
    assert_eq!(issuer.seen().len(), 1, "not asked again at once");

    tokio::time::advance(Duration::from_secs(11)).await;
    issuer.answers([key_set(&[&first])]);
    assert!(matches!(log.ask(&token(&first)).await, Identified::Known(_)));
    // An unknown key id leads to a new request, but not for every token that names one.
    issuer.answers([key_set(&[&second])]);
    for _ in 0..3 {
        assert!(matches!(log.ask(&token(&third)).await, Identified::Unknown(_)));
    }
    assert_eq!(issuer.seen().len(), 1);
    tokio::time::advance(Duration::from_secs(11)).await;
    assert!(matches!(log.ask(&token(&second)).await, Identified::Known(_)));
    assert!(matches!(log.ask(&token(&first)).await, Identified::Unknown(_)), "it was withdrawn");

    issuer.answers([(500, json!({}))]);
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert!(matches!(log.ask(&token(&second)).await, Identified::Known(_)));
    tokio::time::advance(Duration::from_secs(24 * 3600)).await;
    assert!(matches!(log.ask(&token(&second)).await, Identified::Unavailable(_)));
}

#[tokio::test]
async fn an_issuer_says_where_its_keys_are() {
    let issuer = Other::start().await;
    let signer = Signer::p256("1");
    let log = Log::new(&[
        ("access.authenticators", "oidc"),
        ("access.oidc.issuer", &issuer.url),
        ("access.oidc.audience", "annals"),
        ("access.oidc.name_claim", "preferred.name"),
    ]);
    issuer.answers([(200, json!({"jwks_uri": format!("{}/elsewhere/keys", issuer.url)})), key_set(&[&signer])]);
    let token = signer.sign(&claims(json!({"iss": issuer.url, "preferred": {"name": "al"}})));
    assert_eq!(log.name(&bearer(&token)).await.as_deref(), Some("oidc:al"));
    let paths: Vec<_> = issuer.seen().into_iter().map(|(line, _)| line).collect();
    assert_eq!(paths, ["GET /.well-known/openid-configuration", "GET /elsewhere/keys"]);
}

#[tokio::test]
async fn the_keys_come_over_tls_from_an_issuer_whose_authority_is_trusted_and_from_no_other() {
    let (issuer, authority) = Other::start_over_tls().await;
    let signer = Signer::p256("1");
    let keys = (200, json!({"jwks_uri": format!("{}/keys", issuer.url)}));
    let token = signer.sign(&claims(json!({"iss": issuer.url})));
    let folder = tempfile::tempdir().unwrap();
    let ca_file = |name: &str, certificate: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, certificate).unwrap();
        path.to_str().unwrap().to_owned()
    };
    // It has the same name, as rcgen gives every certificate.
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
    let (own, other) = (ca_file("own.pem", &authority), ca_file("other.pem", &other));
    for (ca_file, is_trusted) in [(Some(&own), true), (Some(&other), false), (None, false)] {
        issuer.answers([keys.clone(), key_set(&[&signer])]);
        let mut settings = vec![
            ("access.authenticators", "oidc"),
            ("access.oidc.issuer", issuer.url.as_str()),
            ("access.oidc.audience", "annals"),
        ];
        settings.extend(ca_file.map(|path| ("access.oidc.ca_file", path.as_str())));
        match Log::new(&settings).ask(&shown(&bearer(&token))).await {
            Identified::Known(principal) => assert!(is_trusted && principal.to_string() == "oidc:alice", "{ca_file:?}"),
            Identified::Unavailable(error) => {
                assert!(!is_trusted, "{error}");
                let said = error.to_string();
                assert!(said.starts_with(&format!("oidc: {}", issuer.url)), "{said}");
                assert!(
                    said.contains(" not from a trusted authority") && said.contains("access.oidc.ca_file"),
                    "{said}"
                );
            }
            other @ (Identified::Unknown(_) | Identified::Locked(_)) => panic!("{ca_file:?}: {other:?}"),
        }
        assert_eq!(issuer.seen().len(), if is_trusted { 2 } else { 0 });
    }
}
