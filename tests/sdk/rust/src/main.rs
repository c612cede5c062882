//! What any program in a pod does: no credentials given, the SDK finds them. Driven by lines on standard input: `who`
//! asks STS and prints an ARN or an error, `later SECONDS` puts the SDK's clock forward and says `ok`.

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, imds};
use aws_sdk_sts::Client;
use aws_sdk_sts::error::DisplayErrorContext;
use aws_smithy_async::time::TimeSource;

/// The SDK's clock, some seconds ahead.
#[derive(Clone, Debug, Default)]
struct Ahead(Arc<AtomicU64>);

impl TimeSource for Ahead {
    fn now(&self) -> SystemTime {
        SystemTime::now() + Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

async fn client(clock: &Ahead) -> Client {
    // Plain HTTP is all that's spoken here; the default client would bring a TLS stack along.
    let http = aws_smithy_http_client::Builder::new().build_http();
    let parts = ProviderConfig::without_region().with_http_client(http.clone()).with_time_source(clock.clone());
    // A busy machine is not what's tested.
    let imds = imds::Client::builder().configure(&parts).connect_timeout(PATIENCE).read_timeout(PATIENCE).build();
    let chain = DefaultCredentialsChain::builder().configure(parts).imds_client(imds).build().await;
    let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http).time_source(clock.clone());
    Client::new(&loader.credentials_provider(chain).load().await)
}

async fn answer(clock: &Ahead, client: &Client, line: &str) {
    if let Some(seconds) = line.strip_prefix("later ") {
        clock.0.fetch_add(seconds.parse().expect("a number of seconds"), Ordering::Relaxed);
        return println!("ok");
    }
    match client.get_caller_identity().send().await {
        Ok(identity) => println!("{}", identity.arn().unwrap_or_default()),
        Err(error) => println!("error: {}", DisplayErrorContext(error).to_string().replace('\n', " ")),
    }
}

fn main() {
    let (heard, mut lines) = tokio::sync::mpsc::unbounded_channel();
    // Not in the runtime: it must see what becomes of idle connections while nothing is asked.
    std::thread::spawn(move || {
        std::io::stdin().lock().lines().map_while(Result::ok).try_for_each(|line| heard.send(line))
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let clock = Ahead::default();
        let client = client(&clock).await;
        while let Some(line) = lines.recv().await {
            answer(&clock, &client, &line).await;
        }
    });
}

const PATIENCE: Duration = Duration::from_secs(20);
