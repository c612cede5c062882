//! `kube2iam compare --theirs=URL [agent flags]`: lists pods and namespaces once, reads the store of a running
//! kube2iam, and prints for which addresses the two would answer differently. It works without an agent and doesn't
//! affect one.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{CommandResult, CommandVerdict, Failure, say};
use crate::agent::tasks::discover;
use crate::agent::wiring;
use crate::clients::kube2iam::Kube2iam;
use crate::clients::kubernetes::{ApiServer, CallLimits};
use crate::config::{self, Command, Config, EnvironmentLookup, Words};
use crate::logic::base::json::{self, PrintedForm};
use crate::logic::cluster::kubernetes::{Event, KubernetesFailure, Resource};
use crate::logic::cluster::world::{ParsedEvent, World};
use crate::logic::identity::metadata_token::TokenKeys;
use crate::logic::operator::compare::{Comparison, compare, their_answers};
use crate::logic::policy::{AccountRoles, Rules, evaluate_all};
use crate::logic::sts::environment::AwsEnvironment;
use crate::os::clock::SystemClock;
use crate::os::latch::Latch;
use crate::ports::{Clock, Imds, Kubernetes, Time, Waited};

/// The clients and rules for comparisons.
struct Comparer {
    config: Config,
    rules: Rules,
    server: ApiServer,
    theirs: Kube2iam,
    clock: Arc<dyn Clock>,
    latch: Latch,
}

pub(super) fn run(words: &Words, lookup: EnvironmentLookup<'_>, output: &mut dyn Write) -> CommandResult {
    let url = words.value("theirs").ok_or_else(|| {
        Failure::Usage(
            "failed to read `compare`: it needs --theirs=URL; `kube2iam compare --help` shows how".to_owned(),
        )
    })?;
    let url = config::http_url(url).ok_or_else(|| {
        Failure::Usage(format!("invalid value `{}` for `--theirs`: allowed is http://HOST[:PORT]", url.escape_debug()))
    })?;
    let config = match config::parse(words.rest.iter().cloned(), lookup) {
        Ok(Command::Run(config)) => *config,
        Ok(Command::Help(text) | Command::Version(text)) => return Err(Failure::Help(text)),
        Err(error) => return Err(Failure::Usage(error.to_string())),
    };
    let (comparer, mut notes) = Comparer::new(config, &url, lookup)?;
    notes.extend(comparer.config.warnings.iter().cloned());
    let show = Show { form: words.form(), notes };
    if words.is_on("watch") { watch(&comparer, &show, output) } else { once(&comparer, &show, output) }
}

fn once(comparer: &Comparer, show: &Show, output: &mut dyn Write) -> CommandResult {
    let comparison = comparer.compare()?;
    say(output, &show.shown(&comparison))?;
    Ok(if comparison.different() == 0 { CommandVerdict::Good } else { CommandVerdict::Bad })
}

/// Compares until a signal or a closed output, and prints changes. A temporary failure of one side doesn't end it.
fn watch(comparer: &Comparer, show: &Show, output: &mut dyn Write) -> CommandResult {
    let (mut before, mut verdict) = (String::new(), CommandVerdict::Good);
    loop {
        let text = match comparer.compare() {
            Ok(comparison) => {
                verdict = if comparison.different() == 0 { CommandVerdict::Good } else { CommandVerdict::Bad };
                show.shown(&comparison)
            }
            Err(Failure::Unanswered(cause)) => show.trouble(&cause),
            Err(other) => return Err(other),
        };
        if text != before {
            if show.form == PrintedForm::Text {
                say(output, &comparer.clock.now().wall.rfc3339())?;
            }
            say(output, &text)?;
            before = text;
        }
        if comparer.latch.wait(comparer.clock.now().mono.after(COMPARE_EVERY)) == Waited::ShutDown {
            return Ok(verdict);
        }
    }
}

/// How comparisons are printed.
struct Show {
    form: PrintedForm,
    /// Caveats about the comparison
    notes: Vec<String>,
}

impl Show {
    fn shown(&self, comparison: &Comparison) -> String {
        if self.form == PrintedForm::Json {
            let different = comparison.different();
            let alike = comparison.rows.len() - different;
            return json::text(
                &json!({ "alike": alike, "different": different, "notes": self.notes, "addresses": comparison.rows }),
            );
        }
        let notes: String = self.notes.iter().map(|note| format!("note: {note}\n")).collect();
        notes + &comparison.text()
    }

    fn trouble(&self, cause: &str) -> String {
        if self.form == PrintedForm::Json { json::text(&json!({ "error": cause })) } else { cause.to_owned() }
    }
}

impl Comparer {
    /// Discovers what the agent would discover at start: base ARN, default role and its own role.
    fn new(config: Config, url: &str, lookup: EnvironmentLookup<'_>) -> Result<(Self, Vec<String>), Failure> {
        let failed = |cause: &dyn std::fmt::Display| Failure::Unanswered(cause.to_string());
        let time: Arc<dyn Time> = Arc::new(SystemClock::new());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let environment = AwsEnvironment::from_lookup(lookup);
        let server = wiring::api_server(&config.kubernetes, &environment, &clock, CallLimits::default());
        let server = server.map_err(|cause| failed(&cause))?;
        let theirs = Kube2iam::at(url).map_err(|cause| failed(&format!("failed to use `{url}`: {cause}")))?;
        let authority = config.metadata.own.to_string();
        let imds: Arc<dyn Imds> = wiring::metadata_service(&authority, &clock).map_err(|cause| failed(&cause))?;
        let mut rules = discover::rules(&config, &*imds).map_err(|cause| failed(&cause))?;
        let mut notes = Vec::new();
        let wire = wiring::sts_wire(&environment, &imds, &clock).map_err(|cause| failed(&cause))?;
        let (sts, credentials) =
            wiring::sts(&config, &imds, &wire, &environment, &clock).map_err(|cause| failed(&cause))?;
        let (own, trouble) = discover::own_roles(&config, &*sts, &*credentials);
        rules.own_roles = own;
        notes.extend(trouble.map(|cause| format!("the agent's own role could not be determined: {cause}")));
        let latch = Latch::new(time);
        Ok((Self { config, rules, server, theirs, clock, latch }, notes))
    }

    /// Reads kube2iam's store first, so that the listed pods are newer. Differences are checked twice.
    fn compare(&self) -> Result<Comparison, Failure> {
        let theirs = || self.theirs.store().map_err(Failure::Unanswered);
        let store = theirs()?;
        let world = self.world()?;
        let (keys, now) = (TokenKeys::new(&[0; 32], self.clock.now().wall), self.clock.now().wall);
        let against = |store| compare(&world, &self.rules, &keys, &their_answers(&store, &self.rules), now);
        let first = against(store);
        if first.different() == 0 {
            return Ok(first);
        }
        self.latch.wait(self.clock.now().mono.after(LOOK_TWICE));
        Ok(first.confirmed_by(against(theirs()?)))
    }

    fn world(&self) -> Result<World, Failure> {
        let mut world = World::default();
        if self.rules.account_roles == AccountRoles::Read {
            world.require_accounts();
        }
        for resource in self.config.watched() {
            self.list(&mut world, resource)?;
        }
        evaluate_all(&mut world, &self.rules);
        Ok(world)
    }

    /// Lists a resource page by page, and starts over if a page fails, because the server may then choose smaller
    /// ones.
    fn list(&self, world: &mut World, resource: Resource) -> Result<(), Failure> {
        let mut tries = 0;
        while let Err(failure) = self.try_list(world, resource) {
            tries += 1;
            if tries >= MOST_TRIES || failure.kind.is_refusal() {
                let server = self.server.server();
                return Err(Failure::Unanswered(format!("{} (API server `{server}`)", failure.cause)));
            }
        }
        Ok(())
    }

    fn try_list(&self, world: &mut World, resource: Resource) -> Result<(), KubernetesFailure> {
        let mut apply = |event| drop(world.apply(resource, ParsedEvent::new(event, self.rules.reading())));
        apply(Event::Init);
        let mut continuation = None;
        loop {
            // the agent skips unreadable objects too
            let mut each = |item| {
                if let Ok(object) = item {
                    apply(Event::InitApply(object));
                }
            };
            let page = self.server.list(resource, continuation.as_deref(), &mut each)?;
            match page.continuation {
                Some(token) => continuation = Some(token),
                None => break,
            }
        }
        apply(Event::InitDone);
        Ok(())
    }
}

/// Each comparison lists all pods that the agent would watch.
const COMPARE_EVERY: Duration = Duration::from_secs(10);
/// By then a pod that started or ended is known to both.
const LOOK_TWICE: Duration = Duration::from_secs(2);
const MOST_TRIES: usize = 3;
