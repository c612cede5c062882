use super::*;

#[test]
fn peer_is_limited_until_its_responses_are_read() {
    let forwards = Forwards::default();
    let [peer, other]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse().unwrap());
    let mut slots: Vec<ForwardSlot> = (0..PER_PEER).map(|_| forwards.begin(peer).unwrap()).collect();
    assert!(forwards.begin(peer).is_none() && forwards.begin(other).is_some());
    let stream = Body::Stream { source: Box::new(io::empty()), length: None };
    let streamed = slots.pop().unwrap().until_read(Response { body: stream, ..Response::empty(200) });
    assert!(forwards.begin(peer).is_none());
    drop(streamed);
    drop(slots.pop().unwrap().until_read(Response::empty(200)));
    assert_eq!((0..3).filter_map(|_| forwards.begin(peer).map(std::mem::forget)).count(), 2);
    drop(slots);
}
