//! How a host becomes a member, stays one, and does not.

use super::{
    lab::{DAY, Lab, Parent, ask, connected, echo, failed, quick, state, until_state},
    log_lines::logged,
};
use actix::Actor;
use mallee::transport::{
    credentials::{Credentials, ProcessKey},
    identity::{Identity, Role},
    join::{JoinFault, join, renew},
    ledger::Refused,
    link::Link,
    token::{JoinToken, Secret},
};
use std::time::Duration;

fn token(lab: &Lab, parent: &Parent) -> JoinToken {
    let secret = Secret::generate();
    let expires = lab.now() + Duration::from_secs(3600);
    let mut registrar = lab.registrar.borrow_mut();
    registrar.ledger.invite(&secret, Role::Node, "east", expires);
    let token = JoinToken {
        cloud: "lab".into(),
        authority: registrar.authority.fingerprint(),
        addresses: vec![parent.at.to_string()],
        role: Role::Node,
        group: "east".into(),
        secret,
        expires,
    };
    // It goes through an administrator's hands.
    token.to_string().parse().unwrap()
}

async fn joined(
    lab: &Lab,
    token: &JoinToken,
    name: &str,
    key: &ProcessKey,
) -> Result<Credentials, JoinFault> {
    join(token, name, key, &quick(), &lab.clock()).await
}

#[track_caller]
fn refused(outcome: Result<Credentials, JoinFault>) -> Refused {
    match outcome {
        Err(JoinFault::Refused(refused)) => refused,
        other => panic!("it was not refused: {other:?}"),
    }
}

#[actix_rt::test]
async fn a_token_makes_a_host_a_node_that_can_link() {
    let lab = Lab::new();
    let parent = lab.parent();
    let token = token(&lab, &parent);
    let key = ProcessKey::generate();
    let credentials = joined(&lab, &token, "joiner", &key).await.unwrap();
    assert_eq!(credentials.own().identity.to_string(), "mallee://lab/node/east/joiner");
    logged(&["INFO", "`joiner`", "was given a certificate"]).await;
    let kept = Credentials::from_pem(&credentials.to_pem()).unwrap();
    let up = Link::dial(lab.dial_as(kept, parent.at), echo()).start();
    connected(&up).await;
    assert_eq!(ask(&up, b"?").await, Ok(b"?".to_vec()));
}

#[actix_rt::test]
async fn the_same_join_repeated_gives_a_certificate_again_and_a_replay_by_another_none() {
    let lab = Lab::new();
    let parent = lab.parent();
    let token = token(&lab, &parent);
    let key = ProcessKey::generate();
    let first = joined(&lab, &token, "twice", &key).await.unwrap();
    let ledger = lab.registrar.borrow().ledger.clone();
    let again = joined(&lab, &token, "twice", &key).await.unwrap();
    assert_eq!(again.own().identity, first.own().identity);
    assert_eq!(again.own().key, first.own().key);

    let thief = ProcessKey::generate();
    assert_eq!(refused(joined(&lab, &token, "twice", &thief).await), Refused::UsedToken);
    assert_eq!(refused(joined(&lab, &token, "thief", &thief).await), Refused::UsedToken);
    logged(&["WARN", "turned away", "`thief`", "the token was used by another host"]).await;
    let members = |ledger: &mallee::transport::ledger::Ledger| {
        ledger.members().cloned().collect::<Vec<Identity>>()
    };
    assert_eq!(members(&lab.registrar.borrow().ledger), members(&ledger));
}

#[actix_rt::test]
async fn a_wrong_token_is_refused_and_changes_nothing() {
    let lab = Lab::new();
    let parent = lab.parent();
    let mut token = token(&lab, &parent);
    let before = lab.registrar.borrow().ledger.clone();
    token.secret = Secret::generate();
    let outcome = joined(&lab, &token, "guesser", &ProcessKey::generate()).await;
    assert_eq!(refused(outcome), Refused::UnknownToken);
    logged(&["WARN", "turned away", "`guesser`", "the token is not known here"]).await;
    assert_eq!(lab.registrar.borrow().ledger, before);
}

#[actix_rt::test]
async fn an_expired_token_is_refused_by_the_joiner_and_by_the_parent() {
    let lab = Lab::new();
    let parent = lab.parent();
    let mut token = token(&lab, &parent);
    lab.put_forward(DAY);
    let outcome = joined(&lab, &token, "late", &ProcessKey::generate()).await;
    assert!(matches!(outcome, Err(JoinFault::Expired)), "{outcome:?}");
    // A joiner whose clock is wrong, or who lies.
    token.expires = lab.now() + DAY;
    let outcome = joined(&lab, &token, "tardy", &ProcessKey::generate()).await;
    assert_eq!(refused(outcome), Refused::ExpiredToken);
    logged(&["WARN", "turned away", "`tardy`", "the token has expired"]).await;
    assert_eq!(lab.registrar.borrow().ledger.members().count(), 0);
}

#[actix_rt::test]
async fn a_joiner_tells_its_secret_to_nobody_but_its_own_parent() {
    let lab = Lab::new();
    let parent = lab.parent();
    let token = token(&lab, &parent);
    let elsewhere =
        |at: std::net::SocketAddr| JoinToken { addresses: vec![at.to_string()], ..token.clone() };
    let key = ProcessKey::generate();
    let foreign = Lab::new();
    let foreign_parent = foreign.parent();
    let outcome = joined(&lab, &elsewhere(foreign_parent.at), "n1", &key).await;
    assert!(matches!(&outcome, Err(JoinFault::Unreachable(why)) if why.contains("UnknownIssuer")));

    let node = Identity::node_manager("lab", "east", "n2").unwrap();
    let impostor = lab.listening(lab.credentials(&node), quick(), echo());
    let outcome = joined(&lab, &elsewhere(impostor.at), "n1", &key).await;
    let Err(JoinFault::Unreachable(why)) = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("is not the group manager of `east`"), "{why}");
    assert_eq!(lab.registrar.borrow().ledger.members().count(), 0);
}

#[actix_rt::test]
async fn a_name_that_is_taken_is_refused_until_its_holder_is_revoked() {
    let lab = Lab::new();
    let parent = lab.parent();
    let first = token(&lab, &parent);
    let holder = joined(&lab, &first, "wanted", &ProcessKey::generate()).await.unwrap();
    let second = token(&lab, &parent);
    let key = ProcessKey::generate();
    let taken = Refused::NameTaken("wanted".into());
    assert_eq!(refused(joined(&lab, &second, "wanted", &key).await), taken);
    lab.registrar.borrow_mut().ledger.revoke(&holder.own().identity);
    joined(&lab, &second, "wanted", &key).await.unwrap();
}

#[actix_rt::test]
async fn a_member_renews_its_certificate_and_its_link_goes_on_with_the_new_one() {
    let lab = Lab::new();
    let parent = lab.parent();
    let key = ProcessKey::generate();
    let first = joined(&lab, &token(&lab, &parent), "n1", &key).await.unwrap();
    let expires = first.own().valid_until;
    let mut dial = lab.dial_as(first, parent.at);
    dial.limits.ping_every = Duration::from_millis(100);
    let up = Link::dial(dial.clone(), echo()).start();
    connected(&up).await;

    lab.put_forward(20 * DAY);
    assert!(lab.now() >= dial.credentials.get().renew_at());
    parent.credentials.replace(lab.credentials(&parent.credentials.get().own().identity));
    let renewed = renew(&dial, &ProcessKey::generate()).await.unwrap();
    assert_eq!(renewed.own().identity, dial.credentials.get().own().identity);
    assert!(renewed.own().valid_until > expires);
    dial.credentials.replace(renewed);
    until_state(&up, "it connects again", |state| {
        state.reconnects == 1 && state.connected_since.is_some()
    })
    .await;
    failed(&up, "its certificate was renewed").await;
    // The old certificates, the parent's too, would be of no use now.
    lab.put_forward(15 * DAY);
    let before = state(&up).await.frames_in;
    until_state(&up, "pings go on", |state| state.frames_in > before + 5).await;
    assert_eq!(ask(&up, b"?").await, Ok(b"?".to_vec()));
    assert_eq!(state(&up).await.reconnects, 1);
}

#[actix_rt::test]
async fn a_revoked_member_cannot_renew() {
    let lab = Lab::new();
    let parent = lab.parent();
    let key = ProcessKey::generate();
    let credentials = joined(&lab, &token(&lab, &parent), "gone", &key).await.unwrap();
    let identity = credentials.own().identity.clone();
    let dial = lab.dial_as(credentials, parent.at);
    lab.registrar.borrow_mut().ledger.revoke(&identity);
    assert_eq!(refused(renew(&dial, &ProcessKey::generate()).await), Refused::Revoked);
    // Where the door knows too, it is not even heard.
    parent.revoke("gone").await;
    let outcome = renew(&dial, &ProcessKey::generate()).await;
    assert!(matches!(outcome, Err(JoinFault::Unreachable(_))), "{outcome:?}");
    logged(&["WARN", "turned away", "mallee://lab/node/east/gone", "was revoked"]).await;
}

#[actix_rt::test]
async fn an_expired_certificate_cannot_be_renewed() {
    let lab = Lab::new();
    let parent = lab.parent();
    let key = ProcessKey::generate();
    let credentials = joined(&lab, &token(&lab, &parent), "n1", &key).await.unwrap();
    lab.put_forward(31 * DAY);
    let later = lab.parent();
    let dial = lab.dial_as(credentials, later.at);
    let outcome = renew(&dial, &ProcessKey::generate()).await;
    let Err(JoinFault::Unreachable(why)) = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("CertificateExpired"), "{why}");
    let up = Link::dial(dial, echo()).start();
    failed(&up, "CertificateExpired").await;
    drop(parent);
}
