use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpRequest, web};
use alivio_platform::Platform;
use ipnet::IpNet;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::rate_limit::Rates;

/// How the edge behaves.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Origins of web pages that may call us, besides our own: `https://app.clinic.example`.
    pub allowed_origins: Vec<String>,
    /// Commands a socket may send per second on average; twice as many at once.
    pub socket_commands_per_second: NonZeroU32,
    /// Sockets that one person may have open at once.
    pub sockets_per_person: NonZeroUsize,
    /// How often a socket is pinged, and its session looked at.
    pub socket_heartbeat: Duration,
    /// Whether browsers send our cookies over TLS only.
    pub secure_cookies: bool,
    /// How often one may ask.
    pub rates: Rates,
    /// Proxies whose word on a client's address is taken (AU-15).
    pub trusted_proxies: Vec<IpNet>,
    /// How long the next piece of an upload may take.
    pub upload_patience: Duration,
    /// Networks from which one may sign in; everywhere if there are none.
    pub allowed_networks: Vec<IpNet>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            allowed_origins: Vec::new(),
            socket_commands_per_second: const { NonZeroU32::new(50).unwrap() },
            sockets_per_person: const { NonZeroUsize::new(10).unwrap() },
            socket_heartbeat: Duration::from_secs(25),
            secure_cookies: true,
            rates: Rates::default(),
            trusted_proxies: Vec::new(),
            upload_patience: Duration::from_secs(30),
            allowed_networks: Vec::new(),
        }
    }
}

/// What every handler can reach.
#[derive(Clone)]
pub struct State {
    /// The product.
    pub platform: Arc<Platform>,
    /// How the edge behaves.
    pub config: HttpConfig,
    /// Turns true when the server is about to go away.
    pub stopping: watch::Receiver<bool>,
    /// Where work goes that is to run beside the threads that hold the connections.
    pub(crate) beside: Handle,
}

impl State {
    /// The state of a server that goes away when `stopping` turns true. To be made in the runtime that is to work beside
    /// the server's own threads.
    pub fn new(platform: Platform, config: HttpConfig, stopping: watch::Receiver<bool>) -> Self {
        Self { platform: Arc::new(platform), config, stopping, beside: Handle::current() }
    }

    /// The state of the app that serves `request`.
    #[expect(clippy::expect_used, reason = "`app` always sets it; without it nothing works")]
    pub(crate) fn of(request: &HttpRequest) -> web::Data<Self> {
        request.app_data::<web::Data<Self>>().expect("the app has its state").clone()
    }
}
