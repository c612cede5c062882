use super::*;

#[test]
fn only_an_explicit_path_may_fail_the_start() {
    let path = Path::new("/dev/null/control.sock").to_owned();
    assert!(matches!(socket(&SocketSetting::Preset(path.clone())), Ok(None)));
    assert!(matches!(socket(&SocketSetting::Off), Ok(None)));
    let Err(error) = socket(&SocketSetting::Asked(path)) else { panic!("a socket below a device") };
    assert!(error.to_string().starts_with("failed to open the control socket `/dev/null/control.sock`: "), "{error}");
}
