use super::*;

#[test]
fn a_holder_counts_once_and_the_last_one_is_alone() {
    let address: IpAddr = "10.0.0.1".parse().unwrap();
    let [a, b]: [Arc<str>; 2] = ["a".into(), "b".into()];
    let mut holders = FastMap::default();
    for uid in [&a, &a] {
        Holders::add(&mut holders, address, uid);
        assert!(matches!(&holders[&address], Holders::One(one) if *one == a));
    }
    for uid in [&b, &a, &b] {
        Holders::add(&mut holders, address, uid);
        assert!(matches!(&holders[&address], Holders::Many(uids) if uids.len() == 2));
    }
    Holders::remove(&mut holders, address, &a);
    assert!(matches!(&holders[&address], Holders::One(one) if *one == b));
    Holders::remove(&mut holders, address, &a);
    assert!(matches!(&holders[&address], Holders::One(one) if *one == b));
    Holders::remove(&mut holders, address, &b);
    assert!(holders.is_empty());
}
