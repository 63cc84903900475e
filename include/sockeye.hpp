// sockeye.hpp: C++17 over sockeye.h. Compiled into you, and not ABI-stable: use it inside your program, and hand plain
// sockeye.h types over the borders of your own libraries.
//
// It adds ownership, std::string_view and Socket.IO's chained emission, and nothing else: sockeye.h stays the reference manual.
//   - Text and bytes that go in are borrowed for the call (of a chain: until its last member, emit or another, returns).
//   - Text that comes out of an Event is borrowed until its batch is released; Event::retain keeps it longer.
//   - No exceptions: what can fail returns a Status, or a Result<T> that has a T or a code.
//   - Nothing here allocates but a Queue (its batch), on_events and http (the function) and the json functions that return a std::string.
//   - Threads: as in sockeye.h, everything may be called from every thread and from event handlers, but a Queue has one
//     consumer, and an Engine is not destroyed on one of its own threads.
#ifndef SOCKEYE_HPP
#define SOCKEYE_HPP

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sockeye.h"
#include "sockeye_base.hpp"

namespace sockeye {

// A look at one event; the accessors are the fields of sockeye_event. Valid as long as its batch; what retain() gives, longer.
class Event {
public:
    Event(const sockeye_event &event) noexcept : event_(&event) {}
    std::uint32_t kind() const noexcept { return event_->kind; }
    bool partial() const noexcept { return (event_->flags & SOCKEYE_EVENT_PARTIAL) != 0; }
    sockeye_nsp nsp() const noexcept { return event_->nsp; }
    sockeye_socket socket() const noexcept { return event_->socket; }
    std::uint64_t user() const noexcept { return event_->user; }
    sockeye_token token() const noexcept { return event_->token; }
    Status status() const noexcept { return event_->status; }
    std::uint64_t time_us() const noexcept { return event_->time_us; }
    sockeye_atom atom() const noexcept { return event_->name; } // 0 if the program never interned the name
    std::string_view name() const noexcept { return {event_->name_ptr, event_->name_len}; }
    // JSON text, as the kind says: of a message, the array of its arguments.
    std::string_view data() const noexcept { return {event_->data, event_->data_len}; }
    std::optional<std::string_view> get(std::string_view pointer) const noexcept { return json::get(data(), pointer); }
    std::optional<std::string> string(std::string_view pointer) const { return json::string(get(pointer).value_or("")); }
    std::size_t attachment_count() const noexcept { return event_->attachment_count; }
    const sockeye_bytes &attachment(std::size_t i) const noexcept { return event_->attachments[i]; }
    Result<Buffer> retain() const noexcept {
        return detail::take<Buffer, sockeye_buffer *>([this](auto out) { return sockeye_event_retain(event_, out); });
    }
    const sockeye_event &raw() const noexcept { return *event_; }
private:
    const sockeye_event *event_;
};

// A batch of events: `for (sockeye::Event event : events)`.
class Events {
public:
    Events(const sockeye_event *events, std::size_t count) noexcept : events_(events), count_(count) {}
    const sockeye_event *begin() const noexcept { return events_; }
    const sockeye_event *end() const noexcept { return events_ + count_; }
    std::size_t size() const noexcept { return count_; }
private:
    const sockeye_event *events_;
    std::size_t count_;
};

// The consumer's end of a queue; the queue itself belongs to the engine, and this must go before it. Make one for each queue.
class Queue {
public:
    explicit Queue(sockeye_queue *queue, std::size_t batch_max = 256) : queue_(queue), batch_(batch_max) {}
    Queue(Queue &&) = default;
    Queue &operator=(Queue &&) = default;
    // The next batch, which the next poll releases. No wait: 0 (the default); no limit: a negative time.
    // SOCKEYE_ERR_CLOSED after the last event, SOCKEYE_EVENT_CLOSED, was given out.
    Result<Events> poll(std::chrono::milliseconds timeout = {}) noexcept {
        const auto wait_ms = static_cast<std::int32_t>(timeout.count());
        const auto count = sockeye_queue_poll(get(), batch_.data(), sizeof(sockeye_event), batch_.size(), wait_ms);
        if (count < 0) return Status(static_cast<sockeye_result>(count));
        return Events(batch_.data(), static_cast<std::size_t>(count));
    }
    // Releases the batch before the next poll does.
    Status release() noexcept { return sockeye_queue_release(get()); }
    // Readable while events wait: for epoll and its like.
    Result<std::ptrdiff_t> fd() const noexcept {
        return detail::take<std::ptrdiff_t>([this](auto out) { return sockeye_queue_fd(queue_, out); });
    }
    // Instead of poll: the engine calls with each batch, from a thread of the queue's own (SOCKEYE_DELIVER_THREAD) or from the
    // I/O thread (SOCKEYE_DELIVER_INLINE: it must not block). The function must not throw; it lives until the engine is freed.
    Status on_events(std::uint32_t mode, std::function<void(Events)> function) {
        auto owned = std::make_unique<std::function<void(Events)>>(std::move(function));
        const Status status = sockeye_queue_deliver(get(), mode, &call, owned.get(), &drop);
        if (status) static_cast<void>(owned.release());
        return status;
    }
    // What waits in it.
    Result<sockeye_queue_metrics> metrics() const noexcept {
        return detail::measure<sockeye_queue_metrics>([this](auto out) { return sockeye_queue_get_metrics(queue_, out); });
    }
    sockeye_queue *get() const noexcept { return queue_; }
private:
    static void call(void *user, const sockeye_event *events, std::size_t count) {
        (*static_cast<std::function<void(Events)> *>(user))(Events(events, count));
    }
    static void drop(void *user) { delete static_cast<std::function<void(Events)> *>(user); }
    sockeye_queue *queue_;
    std::vector<sockeye_event> batch_;
};

// What every chain has: the flags of the emission, then the emission. A chain lives in your frame, and may be kept and sent
// again while the text that it borrows lives.
template <class Self> class Emission {
public:
    // Dropped for each receiver that cannot be written to at once (`volatile` is a keyword of C++).
    Self &as_volatile() noexcept { return flag(SOCKEYE_VOLATILE); }
    Self &compress(bool on) noexcept { return on ? self() : flag(SOCKEYE_COMPRESS_OFF); }
    // The host vouches that the arguments are a JSON array.
    Self &trust_json() noexcept { return flag(SOCKEYE_TRUST_JSON); }
    // Small and urgent: it passes ordinary events that wait.
    Self &priority() noexcept { return flag(SOCKEYE_PRIORITY); }
    // Not written after this time.
    Self &ttl(std::chrono::milliseconds time) noexcept { return ttl_ms_ = static_cast<std::uint32_t>(time.count()), self(); }
    // What it is about: under SOCKEYE_OUTBOUND_CONFLATE a later one of the same key takes its place.
    Self &key(std::string_view key) noexcept { return key_ = key, self(); }
    // How long emit_with_ack waits; its token comes back in a SOCKEYE_EVENT_ACK.
    Self &timeout(std::chrono::milliseconds time) noexcept {
        return timeout_ms_ = static_cast<std::uint32_t>(time.count()), self();
    }
    // The attachment that stands as {"_placeholder":true,"num":N} in the arguments; N counts these calls from 0, up to 9.
    Self &attach(std::string_view data) noexcept {
        if (attachment_count_ == attachments_.size()) overflow_ = true;
        else attachments_[attachment_count_++] = detail::bytes(data);
        return self();
    }
    // `args` is a JSON array; the name is text, or interned.
    Status emit(std::string_view name, std::string_view args = "[]") noexcept { return send(detail::named(0, name, args)); }
    Status emit(sockeye_atom name, std::string_view args = "[]") noexcept { return send(detail::named(name, {}, args)); }
    Status emit(const Message &message) noexcept {
        auto emission = detail::sized<sockeye_emission>();
        emission.prepared = message.get();
        return send(emission);
    }
    Result<sockeye_token> emit_with_ack(std::string_view name, std::string_view args = "[]") noexcept {
        return detail::take<sockeye_token>([&](auto out) { return send(detail::named(0, name, args), out).code(); });
    }
protected:
    Self &flag(std::uint32_t flag) noexcept { return flags_ |= flag, self(); }
    Self &self() noexcept { return static_cast<Self &>(*this); }
    bool overflow_ = false; // more rooms or attachments than a chain has space for
private:
    Status send(sockeye_emission emission, sockeye_token *token = nullptr) noexcept {
        emission.flags = flags_ | (token ? std::uint32_t{SOCKEYE_EXPECT_ACK} : 0);
        emission.timeout_ms = timeout_ms_;
        emission.ttl_ms = ttl_ms_;
        emission.key = key_.data();
        emission.key_len = key_.size();
        emission.attachments = attachments_.data();
        emission.attachment_count = attachment_count_;
        return overflow_ ? Status(SOCKEYE_ERR_TOO_BIG) : self().submit(emission, token);
    }
    std::uint32_t flags_ = 0, timeout_ms_ = 0, ttl_ms_ = 0;
    std::string_view key_;
    std::size_t attachment_count_ = 0;
    std::array<sockeye_bytes, 10> attachments_{}; // as many as the official parser takes
};

// A chain to one socket.
class Direct : public Emission<Direct> {
public:
    Direct(sockeye_engine *engine, sockeye_socket socket) noexcept : engine_(engine), socket_(socket) {}
private:
    friend class Emission<Direct>;
    Status submit(const sockeye_emission &emission, sockeye_token *token) const noexcept {
        return sockeye_emit(engine_, socket_, &emission, token);
    }
    sockeye_engine *engine_;
    sockeye_socket socket_;
};

// Many sockets: of a namespace, those in any room of to(), in none of except(), and not the one that speaks.
// Space for 8 rooms and 8 exceptions; who needs more fills a sockeye_target.
class Broadcast : public Emission<Broadcast> {
public:
    Broadcast(sockeye_engine *engine, sockeye_nsp nsp, sockeye_socket from = 0) noexcept : engine_(engine) {
        target_.nsp = nsp;
        target_.from = from;
    }
    Broadcast &to(std::string_view room) noexcept { return add(rooms_, target_.room_count, room); }
    Broadcast &except(std::string_view room) noexcept { return add(except_, target_.except_count, room); }
    // This server only, not the cluster.
    Broadcast &local() noexcept { return target_.flags |= SOCKEYE_LOCAL, flag(SOCKEYE_LOCAL); }
    // Instead of an emission, what happens to all of them:
    template <class... Rooms> Status join(const Rooms &...rooms) const noexcept {
        const auto list = detail::list(rooms...);
        return apply([&](auto target) { return sockeye_sockets_join(engine_, target, list.data(), list.size()); });
    }
    template <class... Rooms> Status leave(const Rooms &...rooms) const noexcept {
        const auto list = detail::list(rooms...);
        return apply([&](auto target) { return sockeye_sockets_leave(engine_, target, list.data(), list.size()); });
    }
    Status disconnect(std::uint32_t flags = 0) const noexcept {
        return apply([&](auto target) { return sockeye_sockets_disconnect(engine_, target, flags); });
    }
    // Who they are: the token comes back in a SOCKEYE_EVENT_SOCKETS.
    Result<sockeye_token> fetch() const noexcept {
        const auto call = [this](auto out) { return apply([&](auto to) { return sockeye_sockets_fetch(engine_, to, out); }); };
        return detail::take<sockeye_token>(call);
    }
private:
    friend class Emission<Broadcast>;
    using List = std::array<sockeye_bytes, 8>;
    Broadcast &add(List &list, std::size_t &count, std::string_view room) noexcept {
        if (count == list.size()) overflow_ = true;
        else list[count++] = detail::bytes(room);
        return *this;
    }
    // The pointers are set as late as this, so that a chain may be copied.
    template <class Call> sockeye_result apply(Call call) const noexcept {
        sockeye_target target = target_;
        target.rooms = rooms_.data();
        target.except = except_.data();
        return overflow_ ? SOCKEYE_ERR_TOO_BIG : call(&target);
    }
    Status submit(const sockeye_emission &emission, sockeye_token *token) const noexcept {
        return apply([&](auto target) { return sockeye_broadcast(engine_, target, &emission, token); });
    }
    sockeye_engine *engine_;
    sockeye_target target_ = detail::sized<sockeye_target>();
    List rooms_{}, except_{};
};

// One socket: an id that may be copied, kept, and outlive its peer. `socket.emit(...)` goes to it, `socket.chain()` too, with
// options; `socket.to(room)` and `socket.broadcast()` start a chain to the others.
class Socket {
public:
    Socket(sockeye_engine *engine, sockeye_socket id) noexcept : engine_(engine), id_(id) {}
    sockeye_socket id() const noexcept { return id_; }
    Direct chain() const noexcept { return Direct(engine_, id_); }
    Status emit(std::string_view name, std::string_view args = "[]") const noexcept { return chain().emit(name, args); }
    Broadcast broadcast() const noexcept { return Broadcast(engine_, 0, id_); }
    Broadcast to(std::string_view room) const noexcept { return broadcast().to(room); }
    template <class... Rooms> Status join(const Rooms &...rooms) const noexcept {
        return sockeye_socket_join(engine_, id_, detail::list(rooms...).data(), sizeof...(rooms));
    }
    template <class... Rooms> Status leave(const Rooms &...rooms) const noexcept {
        return sockeye_socket_leave(engine_, id_, detail::list(rooms...).data(), sizeof...(rooms));
    }
    // 0, SOCKEYE_CLOSE_TRANSPORT or SOCKEYE_CLOSE_SILENT
    Status disconnect(std::uint32_t flags = 0) const noexcept { return sockeye_socket_disconnect(engine_, id_, flags); }
    // Engine-only mode: a message, text or with SOCKEYE_BINARY.
    Status send(std::string_view data, std::uint32_t flags = 0) const noexcept {
        return sockeye_send(engine_, id_, data.data(), data.size(), flags);
    }
    Status set_user(std::uint64_t user) const noexcept { return sockeye_socket_set_user(engine_, id_, user); }
    Status set_data(std::string_view json) const noexcept {
        return sockeye_socket_set_data(engine_, id_, json.data(), json.size());
    }
    Result<Buffer> data() const noexcept { return read(&sockeye_socket_data); }
    Result<Buffer> rooms() const noexcept { return read(&sockeye_socket_rooms); }
    Result<Buffer> handshake() const noexcept { return read(&sockeye_socket_handshake); }
    Result<sockeye_socket_info> info() const noexcept {
        const auto call = [this](auto out) { return sockeye_socket_get_info(engine_, id_, out, sizeof *out); };
        return detail::take<sockeye_socket_info>(call);
    }
private:
    using Read = sockeye_result (*)(sockeye_engine *, sockeye_socket, sockeye_buffer **);
    Result<Buffer> read(Read function) const noexcept {
        return detail::take<Buffer, sockeye_buffer *>([&](auto out) { return function(engine_, id_, out); });
    }
    sockeye_engine *engine_;
    sockeye_socket id_;
};

// A namespace: Socket.IO's `io`. `io.to("a").except("b").emit("news", "[1]")`; `io.all().emit(...)` is for everybody in it.
class Namespace {
public:
    Namespace(sockeye_engine *engine, sockeye_nsp id) noexcept : engine_(engine), id_(id) {}
    sockeye_nsp id() const noexcept { return id_; }
    Broadcast all() const noexcept { return Broadcast(engine_, id_); }
    Broadcast to(std::string_view room) const noexcept { return all().to(room); }
    Broadcast except(std::string_view room) const noexcept { return all().except(room); }
    Status emit(std::string_view name, std::string_view args = "[]") const noexcept { return all().emit(name, args); }
    // A JSON array of the rooms that have members, the sockets' own included.
    Result<Buffer> rooms() const noexcept {
        return detail::take<Buffer, sockeye_buffer *>([this](auto out) { return sockeye_namespace_rooms(engine_, id_, out); });
    }
    // Encodes an emission once, for chains' emit(message).
    Result<Message> prepare(std::string_view name, std::string_view args = "[]") const noexcept {
        const auto emission = detail::named(0, name, args);
        const auto call = [&](auto out) { return sockeye_message_new(engine_, id_, &emission, out); };
        return detail::take<Message, sockeye_message *>(call);
    }
private:
    sockeye_engine *engine_;
    sockeye_nsp id_;
};

// sockeye_options with the defaults filled in: set the numbers directly, the texts with these. Texts are borrowed until the
// engine is made.
struct Options : sockeye_options {
    Options() noexcept : sockeye_options{} { status = sockeye_options_init(this, sizeof(sockeye_options), SOCKEYE_ABI); }
    Options &set_path(std::string_view text) noexcept { return path = text.data(), path_len = text.size(), *this; }
    Options &set_cors(std::string_view json) noexcept { return cors = json.data(), cors_len = json.size(), *this; }
    Options &set_cookie(std::string_view json) noexcept { return cookie = json.data(), cookie_len = json.size(), *this; }
    Options &set_headers(std::string_view json) noexcept { return headers = json.data(), headers_len = json.size(), *this; }
    Options &set_metrics_path(std::string_view text) noexcept {
        return metrics_path = text.data(), metrics_path_len = text.size(), *this;
    }
    Options &set_client_dir(std::string_view dir) noexcept { return client_dir = dir.data(), client_dir_len = dir.size(), *this; }
    Options &set_trusted_proxies(std::string_view json) noexcept { return trusted_proxies = json.data(), trusted_proxies_len = json.size(), *this; }
    Status status = SOCKEYE_OK; // SOCKEYE_ERR_VERSION when header and library do not fit; Engine::create returns it
};

// A line of the log; its texts are borrowed for the call.
struct LogLine {
    std::int32_t level; // SOCKEYE_LOG_*
    std::string_view target, message, fields; // `fields` is a JSON object
    using Function = std::function<void(const LogLine &)>;
    static void call(void *user, std::int32_t level, const char *target, std::size_t target_len, const char *message,
                     std::size_t message_len, const char *fields, std::size_t fields_len) {
        (*static_cast<Function *>(user))({level, {target, target_len}, {message, message_len}, {fields, fields_len}});
    }
    static void drop(void *user) { delete static_cast<Function *>(user); }
};

// A server. Its destructor closes it without grace and waits for its threads; close it first for peers to get what is on its way.
class Engine : public detail::Owned<sockeye_engine, detail::close_and_free> {
public:
    using Owned::Owned;
    static Result<Engine> create(const Options &options = {}) noexcept {
        if (!options.status) return options.status;
        return detail::take<Engine, sockeye_engine *>([&](auto out) { return sockeye_engine_new(&options, out); });
    }
    // The options by their official names.
    static Result<Engine> create_json(std::string_view json) noexcept {
        const auto call = [&](auto out) { return sockeye_engine_new_json(json.data(), json.size(), out); };
        return detail::take<Engine, sockeye_engine *>(call);
    }
    // Joins a cluster, before the engine listens; the adapter's options as a JSON object.
    Status set_adapter(std::string_view kind, std::string_view json) const noexcept {
        return sockeye_engine_set_adapter(get(), kind.data(), kind.size(), json.data(), json.size());
    }
    // The same over a broker of the program's own, whose functions must not throw; `size` is set here.
    Status set_broker(sockeye_broker broker, std::string_view json = "{}") const noexcept {
        broker.size = sizeof broker;
        return sockeye_engine_set_broker(get(), &broker, json.data(), json.size());
    }
    // Hands a message in that the broker has for this engine.
    Status deliver(std::string_view channel, std::string_view bytes) const noexcept {
        return sockeye_broker_deliver(get(), channel.data(), channel.size(), bytes.data(), bytes.size());
    }
    // Answers requests below `prefix`, outside of the Socket.IO path, with the files of a folder.
    Status mount(std::string_view prefix, std::string_view dir) const noexcept {
        return sockeye_engine_mount(get(), prefix.data(), prefix.size(), dir.data(), dir.size());
    }
    // "127.0.0.1:3000"; returns the port, which the system chose if it was 0.
    Result<std::uint16_t> listen(std::string_view address) const noexcept {
        const auto call = [&](auto port) { return sockeye_engine_listen(get(), address.data(), address.size(), port); };
        return detail::take<std::uint16_t>(call);
    }
    Status listen_fd(std::ptrdiff_t fd) const noexcept { return sockeye_engine_listen_fd(get(), fd); }
    // Takes over a connected stream socket, `head` being what was read from it already. On failure it stays yours.
    Status adopt(std::ptrdiff_t fd, std::string_view head = {}, std::string_view remote = {}, std::uint32_t flags = 0) const noexcept {
        auto connection = detail::sized<sockeye_connection>();
        connection.flags = flags;
        connection.fd = fd;
        connection.head = head.data();
        connection.head_len = head.size();
        connection.remote = remote.data();
        connection.remote_len = remote.size();
        return sockeye_engine_adopt(get(), &connection, nullptr);
    }
    // A stream of your own, such as TLS; the struct has the functions. Returns its id for sockeye_stream_input and its relatives.
    Result<sockeye_stream> adopt(const sockeye_connection &connection) const noexcept {
        return detail::take<sockeye_stream>([&](auto out) { return sockeye_engine_adopt(get(), &connection, out); });
    }
    // Answers a request that your own listener received. `answer` is called once, on a thread of the engine, or, after end(), never.
    Result<sockeye_stream> http(const sockeye_http_request &request, std::function<void(const sockeye_http_answer &)> answer) const {
        using Answer = std::function<void(const sockeye_http_answer &)>;
        auto user = std::make_unique<Answer>(std::move(answer));
        const auto call = [](void *user, const sockeye_http_answer *given) { (*static_cast<Answer *>(user))(*given); };
        const auto drop = [](void *user) { delete static_cast<Answer *>(user); };
        sockeye_stream id = 0;
        const Status status = sockeye_engine_http(get(), &request, call, user.get(), drop, &id);
        if (!status) return status;
        user.release(); // dropped by the engine
        return id;
    }
    // The peer of a stream, or of a request, is gone.
    Status end(sockeye_stream stream) const noexcept { return sockeye_stream_end(get(), stream); }
    // The answer to HTTP, a request that is neither the engine's nor a folder's (SOCKEYE_OPT_HTTP_EVENTS).
    Status respond(const Event &event, std::uint32_t status, std::string_view body = {}, const sockeye_header *headers = nullptr,
                   std::size_t header_count = 0) const noexcept {
        return sockeye_http_respond(get(), event.token(), status, headers, header_count, body.data(), body.size());
    }
    Status close(std::chrono::milliseconds grace = {}) const noexcept {
        return sockeye_engine_close(get(), static_cast<std::uint32_t>(grace.count()));
    }
    // Ends the sessions over `spread`, then closes; `tell` is emitted to every socket first.
    Status drain(std::chrono::milliseconds spread, std::chrono::milliseconds grace, const sockeye_emission *tell = nullptr) const noexcept {
        sockeye_drain_options options{};
        options.size = sizeof options;
        options.spread_ms = static_cast<std::uint32_t>(spread.count());
        options.grace_ms = static_cast<std::uint32_t>(grace.count());
        options.tell = tell;
        return sockeye_engine_drain(get(), &options);
    }
    // What it holds now, and has counted.
    Result<sockeye_metrics> metrics() const noexcept {
        return detail::measure<sockeye_metrics>([this](auto out) { return sockeye_engine_metrics(get(), out); });
    }
    // The same as Prometheus text.
    Result<Buffer> metrics_text() const noexcept {
        return detail::take<Buffer, sockeye_buffer *>([this](auto out) { return sockeye_engine_metrics_text(get(), out); });
    }
    // Lines of `level` (SOCKEYE_LOG_*) and of those that matter more, on the I/O threads: the function must not throw or block, and
    // may be called by several at once. An empty function makes them LOG events.
    Status set_log(std::int32_t level, LogLine::Function function = nullptr) const {
        if (!function) return sockeye_engine_set_log(get(), level, nullptr, nullptr, nullptr);
        auto owned = std::make_unique<LogLine::Function>(std::move(function));
        const Status status = sockeye_engine_set_log(get(), level, &LogLine::call, owned.get(), &LogLine::drop);
        if (status) static_cast<void>(owned.release());
        return status;
    }
    Queue queue() const { return Queue(sockeye_engine_queue(get())); }
    Result<Queue> new_queue(std::uint64_t events_max = 0, std::uint64_t bytes_max = 0) const {
        const sockeye_queue_options options{sizeof options, 0, events_max, bytes_max};
        return detail::take<Queue, sockeye_queue *>([&](auto out) { return sockeye_queue_new(get(), &options, out); });
    }
    // Interns a name that the program handles.
    Result<sockeye_atom> atom(std::string_view name) const noexcept {
        return detail::take<sockeye_atom>([&](auto out) { return sockeye_atom_of(get(), name.data(), name.size(), out); });
    }
    // The namespace "/", which is always there.
    Namespace root() const noexcept { return Namespace(get(), 1); }
    // Makes a namespace, or sets the flags (SOCKEYE_NSP_*) and queue of one.
    Result<Namespace> of(std::string_view name, std::uint32_t flags = 0, const Queue *queue = nullptr) const noexcept {
        return make(&sockeye_namespace, name, flags, queue);
    }
    // All the namespaces whose name matches.
    Result<Namespace> of_pattern(std::string_view regex, std::uint32_t flags = 0, const Queue *queue = nullptr) const noexcept {
        return make(&sockeye_namespace_pattern, regex, flags, queue);
    }
    Socket socket(sockeye_socket id) const noexcept { return Socket(get(), id); }
    Socket socket(const Event &event) const noexcept { return Socket(get(), event.socket()); }
    // The answers to AUTHORIZE, NAMESPACE_REQUEST and HTTP_REQUEST; `user` becomes the socket's user value.
    Status accept(const Event &event, std::uint64_t user = 0, std::string_view data = {}) const noexcept {
        return sockeye_accept(get(), event.token(), user, data.data(), data.size());
    }
    Status reject(const Event &event, std::string_view message, std::string_view data = {}) const noexcept {
        return sockeye_reject(get(), event.token(), message.data(), message.size(), data.data(), data.size());
    }
    // Answers a message whose token is not 0.
    Status ack(sockeye_token token, std::string_view args = "[]") const noexcept {
        return sockeye_ack(get(), token, args.data(), args.size(), nullptr, 0);
    }
    // Many operations in one crossing; a code over 0 is how many of them failed.
    Status submit(sockeye_op *ops, std::size_t count, sockeye_result *results = nullptr) const noexcept {
        return sockeye_submit(get(), ops, sizeof(sockeye_op), count, results);
    }
private:
    using Make = sockeye_result (*)(sockeye_engine *, const char *, std::size_t, const sockeye_nsp_options *, sockeye_nsp *);
    Result<Namespace> make(Make function, std::string_view name, std::uint32_t flags, const Queue *queue) const noexcept {
        const sockeye_nsp_options options{sizeof options, flags, queue ? queue->get() : nullptr};
        sockeye_nsp id = 0;
        const Status status = function(get(), name.data(), name.size(), &options, &id);
        if (!status) return status;
        return Namespace(get(), id);
    }
};

} // namespace sockeye

#endif // SOCKEYE_HPP
