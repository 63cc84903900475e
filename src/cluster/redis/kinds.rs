//! The kinds of adapters over Redis: which options, format and broker each has.

use std::sync::Arc;

use super::Broker;
use super::options::{self, ClassicOptions, Options, ShardedOptions, StreamsOptions};
use super::place::Place;
use super::slots;
use super::streams::StreamsBroker;
use crate::cluster::connect;
use crate::cluster::emitter::Emitter;
use crate::cluster::format::Format;
use crate::cluster::format::classic::Classic;
use crate::cluster::format::sharded::Sharded;
use crate::cluster::format::streams::Streams;
use crate::cluster::node::Settings;
use crate::server::{Error, Server};

/// `redis`.
pub fn classic(server: &Arc<Server>, json: &str) -> Result<(), Error> {
    let (options, format, broker) = classic_parts(json)?;
    connect::start(server, settings("redis", &options), format, broker)
}

/// An emitter to servers with `redis`.
pub fn classic_emitter(json: &str) -> Result<Emitter, Error> {
    let (options, format, broker) = classic_parts(json)?;
    Emitter::start(format, broker, options.publish_queue_bytes)
}

fn classic_parts(json: &str) -> Result<(Options, Box<dyn Format>, Broker), Error> {
    let (options, own) = options::read::<ClassicOptions>(json)?;
    let format = Classic { key: own.key, specific_responses: own.publish_on_specific_response_channel };
    let broker = Broker::plain(Place::new(&options)?);
    Ok((options, Box::new(format), broker))
}

/// `sharded-redis`.
pub fn sharded(server: &Arc<Server>, json: &str) -> Result<(), Error> {
    let (options, format) = sharded_parts(json)?;
    let settings = settings("sharded-redis", &options);
    match Place::new(&options)? {
        Place::Nodes(seeds) => connect::start(server, settings, format, slots::Broker(seeds)),
        Place::Single(place) => connect::start(server, settings, format, Broker::sharded(place)),
    }
}

/// An emitter to servers with `sharded-redis`.
pub fn sharded_emitter(json: &str) -> Result<Emitter, Error> {
    let (options, format) = sharded_parts(json)?;
    match Place::new(&options)? {
        Place::Nodes(seeds) => Emitter::start(format, slots::Broker(seeds), options.publish_queue_bytes),
        Place::Single(place) => Emitter::start(format, Broker::sharded(place), options.publish_queue_bytes),
    }
}

fn sharded_parts(json: &str) -> Result<(Options, Box<dyn Format>), Error> {
    let (options, own) = options::read::<ShardedOptions>(json)?;
    Ok((options, Box::new(Sharded { prefix: own.channel_prefix, mode: own.subscription_mode })))
}

/// `redis-streams`.
pub fn streams(server: &Arc<Server>, json: &str) -> Result<(), Error> {
    let (options, own) = options::read::<StreamsOptions>(json)?;
    let (settings, format) = (settings("redis-streams", &options), streams_format(&own));
    match (Place::new(&options)?, own.use_sharded_pub_sub) {
        (Place::Nodes(seeds), true) => {
            connect::start(server, settings, format, StreamsBroker::new(slots::Broker(seeds), &own))
        }
        (Place::Single(place), true) => {
            connect::start(server, settings, format, StreamsBroker::new(Broker::sharded(place), &own))
        }
        (place, false) => connect::start(server, settings, format, StreamsBroker::new(Broker::plain(place), &own)),
    }
}

/// An emitter to servers with `redis-streams`, which uses no channels, and so needs no connections for them.
pub fn streams_emitter(json: &str) -> Result<Emitter, Error> {
    let (options, own) = options::read::<StreamsOptions>(json)?;
    let (format, bytes) = (streams_format(&own), options.publish_queue_bytes);
    match Place::new(&options)? {
        Place::Nodes(seeds) => Emitter::start(format, StreamsBroker::new(slots::Broker(seeds), &own), bytes),
        place => Emitter::start(format, StreamsBroker::new(Broker::plain(place), &own), bytes),
    }
}

fn streams_format(own: &StreamsOptions) -> Box<dyn Format> {
    let (prefix, stream) = (own.channel_prefix.clone(), own.stream_name.clone());
    let (stream_count, only_plaintext) = (own.stream_count, own.only_plaintext);
    Box::new(Streams { prefix, stream, stream_count, only_plaintext })
}

fn settings(kind: &'static str, options: &Options) -> Settings {
    let (requests_timeout_ms, publish_queue_bytes) = (options.requests_timeout, options.publish_queue_bytes as usize);
    Settings { kind, requests_timeout_ms, publish_queue_bytes }
}
