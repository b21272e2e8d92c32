//! Asking the hub over HTTP.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{HeaderMap, StatusCode};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, BodyReader};

use crate::checkpoint::read_text;
use crate::error::{Error, Result};

/// The hub where the environment names no other.
const ENDPOINT: &str = "https://huggingface.co";

/// How long to wait for a connection, an answer, and the next bytes of it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Addresses that one may send on to another.
const MOST_REDIRECTS: usize = 8;

/// The hub, as the environment says.
#[derive(Clone, Debug)]
pub struct Hub {
    agent: Agent,
    base: String,
    token: Option<String>,
}

/// An answer whose body is read by whoever asked.
pub(super) struct HubAnswer {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    pub(super) body: BodyReader<'static>,
}

impl HubAnswer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Hub {
    /// The hub at `HF_ENDPOINT`, else at its usual address, with the token of the user: `HF_TOKEN`, else what lies in
    /// `HF_TOKEN_PATH` or `HF_HOME/token`.
    ///
    /// # Errors
    /// Where the user asked for no network, or the address is none.
    pub fn of_user() -> Result<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        if variable("HF_HUB_OFFLINE").is_some_and(|flag| !matches!(flag.as_str(), "0" | "false" | "no" | "off")) {
            return Err(Error::new("HF_HUB_OFFLINE is set, so nothing is downloaded"));
        }
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        let path = variable("HF_TOKEN_PATH")
            .map_or_else(|| super::cache::hub_home(|name| variable(name).map(Into::into)).join("token"), Into::into);
        let token = variable("HF_TOKEN").or_else(|| read_text(path).ok());
        Self::at(&endpoint, token)
    }

    /// The hub at another address.
    ///
    /// # Errors
    /// Where it is no address of the web.
    pub fn at(endpoint: &str, token: Option<String>) -> Result<Self> {
        let base = endpoint.trim().trim_end_matches('/').to_owned();
        if !base.starts_with("https://") && !base.starts_with("http://") {
            let what = format!("'{base}' is no address of a hub");
            return Err(Error::new(what).hint("HF_ENDPOINT begins with https://"));
        }
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::PlatformVerifier);
        let agent = Agent::config_builder()
            .user_agent(concat!("pillars/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.build())
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE));
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        Ok(Self { agent: agent.build().into(), base, token })
    }

    /// The address that requests go to, without a slash at its end.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Whether it is told who asks.
    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Asks for `path`, from byte `from` on. The token goes to the hub itself and to nobody that it sends on to.
    ///
    /// # Errors
    /// Where nobody answers.
    pub(super) fn get(&self, path: &str, from: u64) -> Result<HubAnswer> {
        let mut address = format!("{}{path}", self.base);
        for _ in 0..=MOST_REDIRECTS {
            let mut request = self.agent.get(&address).header("accept-encoding", "identity");
            let is_own = address.strip_prefix(&self.base).is_some_and(|rest| rest.starts_with('/'));
            if let Some(token) = self.token.as_ref().filter(|_| is_own) {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            if from > 0 {
                request = request.header("range", format!("bytes={from}-"));
            }
            let answer = request.call().map_err(|e| unreached(&self.base, &e))?;
            let (parts, body) = answer.into_parts();
            let answer = HubAnswer { status: parts.status, headers: parts.headers, body: body.into_reader() };
            if !parts.status.is_redirection() {
                return Ok(answer);
            }
            let place = answer.header("location").unwrap_or_default();
            address = match place {
                path if path.starts_with('/') && !path.starts_with("//") => format!("{}{path}", origin(&address)),
                whole if whole.starts_with("https://") => whole.to_owned(),
                whole if whole.starts_with("http://") && self.base.starts_with("http://") => whole.to_owned(),
                _ => return Err(Error::new(format!("{} sends on to '{place}', which is not followed", self.base))),
            };
        }
        Err(Error::new(format!("{} sends on without end", self.base)))
    }

    /// The body of an answer as text.
    ///
    /// # Errors
    /// Where it is longer than any such answer, or breaks off.
    pub(super) fn text(&self, answer: HubAnswer) -> Result<String> {
        const LONGEST: u64 = 64 << 20;
        let mut text = String::new();
        let read = answer.body.take(LONGEST).read_to_string(&mut text);
        let length = read.map_err(|e| Error::new(format!("the answer of {} broke off: {e}", self.base)))?;
        if length as u64 == LONGEST {
            return Err(Error::new(format!("the answer of {} is too long", self.base)));
        }
        Ok(text)
    }
}

/// Scheme and host of an address.
fn origin(address: &str) -> &str {
    let host = address.find("://").map_or(0, |at| at + 3);
    let end = address.get(host..).and_then(|rest| rest.find('/')).map_or(address.len(), |at| host + at);
    address.get(..end).unwrap_or(address)
}

fn unreached(base: &str, error: &ureq::Error) -> Error {
    Error::new(format!("{base} cannot be reached: {error}"))
        .hint("check the connection, or name another hub with HF_ENDPOINT; what was downloaded is kept")
}
