use super::*;

#[test]
fn sockets_listening_on_the_port_are_found() {
    let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1FF5 00000000:0000 0A 00000000:00000000 00:00000000 00000000     7        0 271828 1 0000000000000000
   1: 0100007F:1FF6 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0000000000000000
   2: 0100007F:1FF5 0100007F:A0F2 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0000000000000000
   3: short
   4: 00000000000000000000000000000000:1FF5 00000000000000000000000000000000:0000 0A 0:0 00:0 0 65532 0 31415 1 0
";
    let sockets = [(7, 271_828), (65_532, 31_415)].map(|(uid, inode)| ListeningSocket { uid, inode });
    assert_eq!(listening(table, 8181), sockets);
    assert_eq!(listening(table, 80), []);
}

#[test]
fn only_a_health_response_of_kube2iam_is_recognised() {
    let answer = |status: &str, body: &str| format!("HTTP/1.1 {status}\r\nServer: x\r\n\r\n{body}").into_bytes();
    let health = r#"{"hostIP":"10.0.0.1","instanceId":""}"#;
    assert_eq!(read_health(&answer("200 OK", health)), PortAnswer::AsKube2iam);
    for other in [
        answer("500 Internal Server Error", health),
        answer("200 OK", ""),
        answer("200 OK", r#"{"hostIP":"10.0.0.1"}"#),
        answer("200 OK", r#"{"hostIP":"10.0.0.1","instanceId":7}"#),
        answer("200 OK", r#"["hostIP","instanceId"]"#),
        answer("200 OK", r#""hostIP instanceId""#),
        b"HTTP/1.1 200 OK\r\n".to_vec(),
        b"SSH-2.0-OpenSSH\r\n\r\n".to_vec(),
        Vec::new(),
    ] {
        assert_eq!(read_health(&other), PortAnswer::Otherwise, "{}", String::from_utf8_lossy(&other));
    }
}

#[test]
fn another_program_on_any_address_counts_at_once_and_silence_after_three_rounds() {
    use PortAnswer::{AsKube2iam, Nothing, Otherwise, Refused};
    let judge = |rounds: &[&[PortAnswer]]| {
        rounds.iter().fold(HolderJudgement::UNKNOWN, |judgement, answers| judgement.after(answers)).is_kube2iam()
    };
    for (rounds, wanted) in [
        (&[][..], false),
        (&[&[AsKube2iam][..]], true),
        (&[&[AsKube2iam, Refused]], true),
        (&[&[AsKube2iam, Otherwise]], false),
        (&[&[Refused, Refused]], false),
        (&[&[Nothing]], false),
        (&[&[AsKube2iam], &[Nothing], &[AsKube2iam, Nothing]], true),
        (&[&[AsKube2iam], &[Nothing], &[Nothing], &[Nothing]], false),
        (&[&[AsKube2iam], &[Nothing], &[AsKube2iam], &[Nothing], &[Nothing]], true),
        (&[&[AsKube2iam], &[Otherwise]], false),
        (&[&[AsKube2iam], &[Refused]], false),
        (&[&[Nothing], &[AsKube2iam]], true),
    ] {
        assert_eq!(judge(rounds), wanted, "{rounds:?}");
    }
}

#[test]
fn the_message_names_the_process_unless_it_is_invisible() {
    let process = HolderProcess { pid: 7, command: "ng\u{1b}inx".to_owned() };
    let seen = PortHolder { uid: 0, process: Some(process) };
    let unseen = PortHolder { uid: 65_532, process: None };
    let text = |holders: Vec<PortHolder>, requests| {
        TakenPort { port: 8181, missing_address: None, holders, judgement: HolderJudgement::UNKNOWN, requests }
            .to_string()
    };
    let known = text(vec![seen.clone()], Requests::Dropped);
    assert!(known.starts_with("port 8181 is held by process 7 (`ng\\u{1b}inx`) of user 0; stop it"), "{known}");
    assert!(known.ends_with("pods' requests are dropped until the port is free"), "{known}");
    let unknown = text(vec![unseen.clone()], Requests::ToKube2iam);
    assert!(unknown.contains("a process of user 65532 that can't be seen from here (on the node `ss -ltnp"));
    assert!(text(vec![seen, unseen], Requests::NotOurs).contains("of user 0 and a process of user 65532"));
    assert!(text(vec![], Requests::NotOurs).contains("a process that can't be found (on the node `ss"));
}
