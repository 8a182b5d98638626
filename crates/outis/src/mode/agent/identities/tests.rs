use futures::StreamExt;
use outis_model::{Secret, SpiffeId};
use outis_wire::LinkState;

use super::*;

const HOUR: i64 = 3600;

fn bundle(sequence: u64, roots: &[u8]) -> TrustBundle {
    let trust_domain = "cluster.local".parse().expect("domain");
    TrustBundle { trust_domain, roots: roots.iter().map(|root| vec![*root]).collect(), sequence }
}

fn pod() -> Arc<Pod> {
    Arc::new(Pod {
        namespace: "shop".parse().expect("ns"),
        name: "backend-1".parse().expect("name"),
        uid: "u-1".parse().expect("uid"),
        config_hash: None,
        node: "n1".parse().ok(),
        service_account: "backend".parse().expect("account"),
        addresses: vec![],
        host_network: false,
        labels: Default::default(),
        owner: None,
        containers: vec![],
        ended: false,
        ready: true,
    })
}

/// An issuer that holds an hour's certificate for the pod, and the end where bundles come from.
async fn issuer() -> (Issuer, watch::Sender<Option<TrustBundle>>) {
    let bundles = watch::Sender::new(Some(bundle(1, &[1])));
    let link = Link {
        state: watch::channel(LinkState::Up).1,
        bundle: bundles.subscribe(),
        signing: watch::channel(None).1,
    };
    let issuer = Issuer::new(link);
    let now = Timestamp::now();
    let later = Timestamp::from_second(now.as_second() + HOUR).expect("in range");
    let id: SpiffeId = "spiffe://cluster.local/ns/shop/sa/backend".parse().expect("id");
    let svid =
        X509Svid { id, chain: vec![vec![7]], key: Secret::new(vec![]), not_before: now, not_after: later };
    *issuer.cell(&pod().uid).expect("room").lock().await = Some(Held { svid, renew: later });
    (issuer, bundles)
}

#[tokio::test(start_paused = true)]
async fn an_open_stream_is_told_of_other_roots_without_a_new_certificate() {
    let (issuer, bundles) = issuer().await;
    let mut stream = issuer.identities(&Caller { pod: pod(), container: None });
    for (sequence, roots) in [(1, &[1][..]), (2, &[1, 2]), (3, &[2])] {
        bundles.send_replace(Some(bundle(sequence, roots)));
        let told = stream.next().await.expect("open").expect("entitled");
        assert_eq!(told.bundle, bundle(sequence, roots));
        assert_eq!(told.svids[0].chain, [[7]]);
    }
}

#[tokio::test(start_paused = true)]
async fn roots_that_change_while_a_certificate_is_waited_for_are_not_missed() {
    let (issuer, bundles) = issuer().await;
    let mut stream = issuer.identities(&Caller { pod: pod(), container: None });
    stream.next().await.expect("open").expect("entitled");
    let cell = issuer.cell(&pod().uid).expect("room");
    let busy = cell.lock().await;
    let mut next = stream.next();
    // It has read the old roots by now, and waits for the certificate.
    assert!(futures::poll!(&mut next).is_pending());
    bundles.send_replace(Some(bundle(2, &[1, 2])));
    drop(busy);
    let began = tokio::time::Instant::now();
    let told = next.await.expect("open").expect("entitled");
    assert_eq!(told.bundle.sequence, 2);
    assert!(began.elapsed() < Duration::from_secs(60), "told when the certificate was due, and not before");
}
