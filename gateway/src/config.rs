//! The gateway's settings: flags first, then `CSM_*` variables, then defaults; parsed once, before any socket opens.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use csm_shared::hub::{HubOptions, ModelSource};
use csm_shared::redis_client::RedisArgs;
use csm_shared::shutdown;
use csm_shared::store::StoreArgs;

/// What a gateway needs to know.
#[derive(Args, Clone, Debug)]
pub struct GatewayArgs {
    /// Address of the public API
    #[arg(long, env = "CSM_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// Address of health, readiness and metrics; not for callers
    #[arg(long, env = "CSM_ADMIN_LISTEN", default_value = "127.0.0.1:9090", value_name = "ADDRESS")]
    pub admin_listen: SocketAddr,

    /// Model whose tokenizer measures prompts: a hub id or a folder, the same as the workers'
    #[arg(long, env = "CSM_MODEL", value_name = "ID|DIR")]
    pub model: ModelSource,

    /// Answer requests for audio with a redirect to the store, where it can sign URLs
    #[arg(long, env = "CSM_REDIRECT_AUDIO", value_parser = clap::builder::FalseyValueParser::new())]
    pub redirect_audio: bool,

    /// Seconds that requests in progress get to finish after SIGTERM
    #[arg(long, env = "CSM_GATEWAY_DRAIN_SECONDS", default_value = "25", value_name = "SECONDS", value_parser = shutdown::grace)]
    pub drain: Duration,

    /// Where Redis is.
    #[command(flatten)]
    pub redis: RedisArgs,

    /// Where finished audio is.
    #[command(flatten)]
    pub store: StoreArgs,

    /// How the model hub is reached.
    #[command(flatten)]
    pub hub: HubOptions,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        gateway: GatewayArgs,
    }

    #[test]
    fn settings_do_not_collide_and_have_usable_defaults() {
        Cli::command().debug_assert();
        let parsed =
            Cli::try_parse_from(["gateway", "--model", "a/b", "--store", "folder:/tmp/audio"]).map(|cli| cli.gateway);
        let args = parsed.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(args.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(args.admin_listen.to_string(), "127.0.0.1:9090");
        assert_eq!(args.drain, Duration::from_secs(25));
        assert!(!args.redirect_audio);
    }
}
