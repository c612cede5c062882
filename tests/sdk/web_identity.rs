//! boto3 in a pod that shows its token, an agent without any key, and moto's AssumeRoleWithWebIdentity. moto checks the
//! signature of every call after the first few; the one that the agent makes is the last of these, and the only one
//! without a signature.

use std::path::PathBuf;

use crate::clients::Program;
use crate::counter::{Counter, Hire};
use crate::moto::{Moto, Seed};
use crate::python::Python;
use crate::standins::Lab;
use crate::standins::kubernetes::PodSpec;
use crate::tools::project;

#[test]
fn boto3_has_a_role_by_its_pods_token_from_an_agent_without_a_key() {
    let Some(python) = Python::prepare() else { return };
    let seed = Seed::roles();
    let moto = Moto::start(&python, &Seed { actions: seed.actions + 1, ..seed });
    let (lab, sts) = (Lab::start(), Counter::open(&moto, None));
    lab.kubernetes.add_pod(PodSpec::new("default", "web").ip("127.0.9.1").service_account("web").role("app"));
    let agent = lab
        .setup()
        .flags(&["--base-role-arn=arn:aws:iam::123456789012:role/", "--container-credentials", "--sts=web-identity"])
        .set("AWS_ENDPOINT_URL_STS", &sts.url())
        .unset("AWS_ACCESS_KEY_ID")
        .unset("AWS_SECRET_ACCESS_KEY")
        .start();
    let token = TokenFile::write(&lab.kubernetes.token("default", "web"));
    let mut command = python.command("python");
    command
        .arg(project().join("tests/sdk/who_am_i.py"))
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://{}/v1/credentials", agent.addr()))
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token.0)
        .envs([("AWS_ENDPOINT_URL", &*sts.url()), ("AWS_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "eu-west-1")])
        .env("AWS_EC2_METADATA_DISABLED", "true");
    let mut program = Program::lasting(command);
    for _ in 0..2 {
        assert_eq!(program.who(), "arn:aws:sts::123456789012:assumed-role/app/kube2iam-app", "{:?}", agent.log());
    }
    let hires = sts.hires();
    let [Hire { role_arn, by, key }] = hires.as_slice() else { panic!("{hires:?}") };
    assert_eq!((role_arn.as_str(), by.as_str()), ("arn:aws:iam::123456789012:role/app", ""), "it was signed");
    assert_eq!(sts.last_caller(), *key, "boto3 signs with what the token got");
    lab.assert_log_is_clean(&agent);
}

/// Where the kubelet would have put it; gone with the test.
struct TokenFile(PathBuf);

impl TokenFile {
    fn write(token: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kube2iam-sdk-token-{}", std::process::id()));
        std::fs::write(&path, token).unwrap();
        Self(path)
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
