use super::*;
use proptest::prelude::*;
use prost::Message as _;

fn report(seq: u64, body: Vec<u8>) -> proto::Up {
    up::Message::Report(proto::Report { seq, class: proto::Class::Decision.into(), body }).into()
}

fn refused(message: proto::Up) -> String {
    crate::describe(&Upward::try_from(message).expect_err("malformed"))
}

#[test]
fn each_bad_message_is_refused_with_its_reason() {
    assert!(refused(proto::Up { message: None }).contains("empty"));
    assert!(refused(report(3, b"{".to_vec())).contains("report 3 is not a report in JSON: EOF"));
    assert!(refused(report(3, vec![b' '; MAX_REPORT + 1])).contains("larger than 262144"));
    assert!(refused(report(u64::MAX, b"{}".to_vec())).contains("not a range"));
    let lost = serde_json::to_vec(&Report::Lost { from: 1, to: 2, why: String::new() }).expect("json");
    assert!(refused(report(3, lost)).contains("losses are declared"));
    let backwards = proto::Lost { from: 4, to: 3, why: String::new() };
    assert!(refused(up::Message::Lost(backwards).into()).contains("numbers 4 to 3"));
    let hello = proto::Hello { role: "controller".into(), node: "n1".into(), ..Default::default() };
    assert!(refused(up::Message::Hello(hello).into()).contains("\"controller\" is not a role"));
    let classless = proto::Report { seq: 8, class: 0, body: b"{}".to_vec() };
    assert!(refused(up::Message::Report(classless).into()).contains("report 8 has no class"));
}

#[test]
fn a_signed_chain_reads_back() {
    let signed = SignedChain {
        id: "spiffe://a.example/ns/shop/sa/web".parse().expect("id"),
        chain: vec![vec![1], vec![2]],
        not_after: Timestamp::from_second(1_800_000_000).expect("time"),
    };
    let twin: proto::SignedChain = signed.clone().into();
    assert_eq!(SignedChain::try_from(twin).expect("printed"), signed);
    let none = proto::SignedChain { id: "spiffe://a/b".into(), chain: vec![], not_after: 0 };
    assert!(SignedChain::try_from(none).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        if let Ok(up) = proto::Up::decode(&bytes[..]) {
            let _ = Upward::try_from(up);
        }
        if let Ok(down) = proto::Down::decode(&bytes[..]) {
            let _ = Downward::try_from(down);
        }
    }

    #[test]
    fn downward_messages_read_back(version: u64, body: Vec<u8>, name in "[a-z-]{1,20}") {
        for message in [
            Downward::Welcome(None),
            Downward::Welcome(Some(version)),
            Downward::Stored(version),
            Downward::Resource(Resource { name: name.clone(), version, body: body.clone() }),
            Downward::Refused { reason: name.clone(), text: "why".into() },
        ] {
            let bytes = proto::Down::from(message.clone()).encode_to_vec();
            let read = proto::Down::decode(&bytes[..]).expect("encoded");
            prop_assert_eq!(Downward::try_from(read).expect("printed"), message);
        }
    }
}
