use std::num::NonZeroU32;

use actix_web::{HttpRequest, web};
use alivio_platform::Platform;
use tokio::sync::watch;

/// How the edge behaves.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Origins of web pages that may call us, besides our own: `https://app.clinic.example`.
    pub allowed_origins: Vec<String>,
    /// Commands a socket may send per second on average; twice as many at once.
    pub socket_commands_per_second: NonZeroU32,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            allowed_origins: Vec::new(),
            socket_commands_per_second: const { NonZeroU32::new(50).unwrap() },
        }
    }
}

/// What every handler can reach.
#[derive(Clone)]
pub struct State {
    /// The product.
    pub platform: Platform,
    /// How the edge behaves.
    pub config: HttpConfig,
    /// Turns true when the server is about to go away.
    pub stopping: watch::Receiver<bool>,
}

impl State {
    /// The state of the app that serves `request`.
    #[expect(clippy::expect_used, reason = "`app` always sets it; without it nothing works")]
    pub(crate) fn of(request: &HttpRequest) -> web::Data<Self> {
        request.app_data::<web::Data<Self>>().expect("the app has its state").clone()
    }
}
