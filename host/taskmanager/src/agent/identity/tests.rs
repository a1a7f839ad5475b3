use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, PublicKeyData, SanType,
};

const NOW: i64 = 1_900_000_000;

/// An authority of the plane.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// What a certificate is to say.
struct Wanted<'a> {
    uri: &'a str,
    from: i64,
    until: i64,
    usage: ExtendedKeyUsagePurpose,
}

const OURS: &str = "spiffe://c.example/taskmanager/tm-1";

impl Default for Wanted<'_> {
    fn default() -> Self {
        Self { uri: OURS, from: NOW - 60, until: NOW + 3_600, usage: ExtendedKeyUsagePurpose::ClientAuth }
    }
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn sign(&self, key: &impl PublicKeyData, wanted: &Wanted<'_>) -> String {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(wanted.uri.try_into().unwrap())];
        params.extended_key_usages = vec![wanted.usage.clone()];
        let at = |seconds| time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
        (params.not_before, params.not_after) = (at(wanted.from), at(wanted.until));
        params.signed_by(key, &self.issuer).unwrap().pem()
    }

    fn joined(&self, chain: String) -> Joined {
        Joined {
            name: Name::new("tm-1").unwrap(),
            certificate: Certificate { chain, renew_after_seconds: 2_400 },
            authority: self.pem.clone(),
            domain: "c.example".into(),
            plane: vec!["jm:8444".into()],
        }
    }
}

fn take(request: &Request, joined: Joined) -> Result<Identity> {
    let (name, domain) = (Name::new("tm-1").unwrap(), "c.example".parse().unwrap());
    Identity::of_joined(request, &name, &domain, joined, Timestamp::from_seconds(NOW))
}

#[test]
fn what_was_asked_for_is_taken_and_kept() {
    let (authority, request) = (Authority::new(), Request::new().unwrap());
    let identity = take(&request, authority.joined(authority.sign(&request.key, &Wanted::default()))).unwrap();
    assert_eq!(identity.expires().unwrap().seconds(), NOW + 3_600);
    assert_eq!(identity.renew_at.seconds(), NOW + 2_400);
    let folder = tempfile::tempdir().unwrap();
    let (state, _held) = StateDir::open(&folder.path().join("state")).unwrap();
    assert!(Identity::read(&state).unwrap().is_none());
    identity.write(&state).unwrap();
    let read = Identity::read(&state).unwrap().unwrap();
    read.check(Timestamp::from_seconds(NOW)).unwrap();
    assert!(!format!("{read:?}").contains("PRIVATE"), "a key is shown");
    let after = read.check(Timestamp::from_seconds(NOW + 3_601)).unwrap_err();
    assert_eq!(after.code(), code::IDENTITY_EXPIRED);

    let next = Request::new().unwrap();
    let later = Wanted { until: NOW + 9_000, ..Wanted::default() };
    let chain = authority.sign(&next.key, &later);
    let renewed = read.renewed(&next, Certificate { chain, renew_after_seconds: 60 }, Timestamp::from_seconds(NOW));
    assert_eq!(renewed.unwrap().expires().unwrap().seconds(), NOW + 9_000);
}

#[test]
fn what_was_not_asked_for_is_refused() {
    let (authority, request) = (Authority::new(), Request::new().unwrap());
    let good = || authority.joined(authority.sign(&request.key, &Wanted::default()));
    let signed = |wanted: Wanted<'_>| authority.joined(authority.sign(&request.key, &wanted));
    let other_key = authority.joined(authority.sign(&KeyPair::generate().unwrap(), &Wanted::default()));
    let other_authority = Joined { authority: Authority::new().pem, ..good() };
    let cases = [
        ("another key", other_key),
        ("another authority", other_authority),
        ("another TaskManager", signed(Wanted { uri: "spiffe://c.example/taskmanager/tm-2", ..Wanted::default() })),
        ("another domain", signed(Wanted { uri: "spiffe://d.example/taskmanager/tm-1", ..Wanted::default() })),
        ("the JobManager", signed(Wanted { uri: "spiffe://c.example/jobmanager", ..Wanted::default() })),
        ("a server", signed(Wanted { usage: ExtendedKeyUsagePurpose::ServerAuth, ..Wanted::default() })),
        ("not yet", signed(Wanted { from: NOW + 600, ..Wanted::default() })),
        ("said to be another", Joined { name: Name::new("tm-2").unwrap(), ..good() }),
        ("said to be of another domain", Joined { domain: "d.example".into(), ..good() }),
        ("a plane that is nowhere", Joined { plane: vec!["jm".into()], ..good() }),
        ("no certificate", authority.joined(String::new())),
        ("no authority", Joined { authority: "x".into(), ..good() }),
        ("too much", Joined { authority: authority.pem.repeat(MAX_CHAIN + 1), ..good() }),
    ];
    take(&request, good()).unwrap();
    for (what, joined) in cases {
        assert_eq!(take(&request, joined).err().map(|error| error.code()), Some(code::IDENTITY_REFUSED), "{what}");
    }
    let over = signed(Wanted { from: NOW - 900, until: NOW - 1, ..Wanted::default() });
    assert_eq!(take(&request, over).unwrap_err().code(), code::IDENTITY_EXPIRED);
}
