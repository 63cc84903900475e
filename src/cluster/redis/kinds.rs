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
    let broker = Broker::new(&options)?;
    Ok((options, Box::new(format), broker))
}

/// `sharded-redis`.
pub fn sharded(server: &Arc<Server>, json: &str) -> Result<(), Error> {
    let (options, format) = sharded_parts(json)?;
    let settings = settings("sharded-redis", &options);
    match Place::new(&options)? {
        Place::Nodes(seeds) => connect::start(server, settings, format, slots::Broker(seeds)),
        _ => connect::start(server, settings, format, Broker::at_one_place(&options, true)?),
    }
}

/// An emitter to servers with `sharded-redis`.
pub fn sharded_emitter(json: &str) -> Result<Emitter, Error> {
    let (options, format) = sharded_parts(json)?;
    Emitter::start(format, Broker::at_one_place(&options, true)?, options.publish_queue_bytes)
}

fn sharded_parts(json: &str) -> Result<(Options, Box<dyn Format>), Error> {
    let (options, own) = options::read::<ShardedOptions>(json)?;
    Ok((options, Box::new(Sharded { prefix: own.channel_prefix, mode: own.subscription_mode })))
}

/// `redis-streams`.
pub fn streams(server: &Arc<Server>, json: &str) -> Result<(), Error> {
    let (options, format, broker) = streams_parts(json)?;
    connect::start(server, settings("redis-streams", &options), format, broker)
}

/// An emitter to servers with `redis-streams`.
pub fn streams_emitter(json: &str) -> Result<Emitter, Error> {
    let (options, format, broker) = streams_parts(json)?;
    Emitter::start(format, broker, options.publish_queue_bytes)
}

fn streams_parts(json: &str) -> Result<(Options, Box<dyn Format>, StreamsBroker), Error> {
    let (options, own) = options::read::<StreamsOptions>(json)?;
    let broker = StreamsBroker::new(Broker::at_one_place(&options, own.use_sharded_pub_sub)?, &own);
    let StreamsOptions { channel_prefix: prefix, stream_name: stream, stream_count, only_plaintext, .. } = own;
    let format = Streams { prefix, stream, stream_count, only_plaintext };
    Ok((options, Box::new(format), broker))
}

fn settings(kind: &'static str, options: &Options) -> Settings {
    let (requests_timeout_ms, publish_queue_bytes) = (options.requests_timeout, options.publish_queue_bytes as usize);
    Settings { kind, requests_timeout_ms, publish_queue_bytes }
}
