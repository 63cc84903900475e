// sockeye_emitter.hpp: emitters in C++17, as sockeye.hpp has servers: a program speaks to the clients of a cluster, and is none of its servers.
// The rules of sockeye.hpp hold here too.
#ifndef SOCKEYE_EMITTER_HPP
#define SOCKEYE_EMITTER_HPP

#include "sockeye.hpp"

namespace sockeye {

// Whom an emitter means: of a namespace, on all servers, those in any room of to(), in none of except(). Space for 8 rooms and 8
// exceptions, and for 10 attachments; who needs more fills a sockeye_emitter_target.
class EmitterBroadcast {
public:
    EmitterBroadcast(sockeye_emitter *emitter, std::string_view nsp) noexcept : emitter_(emitter) {
        target_.nsp = nsp.data();
        target_.nsp_len = nsp.size();
    }
    EmitterBroadcast &to(std::string_view room) noexcept { return add(rooms_, target_.room_count, room); }
    EmitterBroadcast &except(std::string_view room) noexcept { return add(except_, target_.except_count, room); }
    // Dropped for each receiver that cannot be written to at once (`volatile` is a keyword of C++).
    EmitterBroadcast &as_volatile() noexcept { return flags_ |= SOCKEYE_VOLATILE, *this; }
    EmitterBroadcast &compress(bool on) noexcept { return flags_ |= on ? 0 : SOCKEYE_COMPRESS_OFF, *this; }
    // The attachment that stands as {"_placeholder":true,"num":N} in the arguments; N counts these calls from 0, up to 9.
    EmitterBroadcast &attach(std::string_view data) noexcept { return add(attachments_, attachment_count_, data); }
    // `args` is a JSON array. SOCKEYE_ERR_FULL: too much waits for the broker.
    Status emit(std::string_view name, std::string_view args = "[]") const noexcept {
        auto emission = detail::named(0, name, args);
        emission.flags = flags_;
        emission.attachments = attachments_.data();
        emission.attachment_count = attachment_count_;
        return apply([&](auto target) { return sockeye_emitter_emit(emitter_, target, &emission); });
    }
    template <class... Rooms> Status join(const Rooms &...rooms) const noexcept {
        const auto list = detail::list(rooms...);
        return apply([&](auto target) { return sockeye_emitter_join(emitter_, target, list.data(), list.size()); });
    }
    template <class... Rooms> Status leave(const Rooms &...rooms) const noexcept {
        const auto list = detail::list(rooms...);
        return apply([&](auto target) { return sockeye_emitter_leave(emitter_, target, list.data(), list.size()); });
    }
    // 0 or SOCKEYE_CLOSE_TRANSPORT
    Status disconnect(std::uint32_t flags = 0) const noexcept {
        return apply([&](auto target) { return sockeye_emitter_disconnect(emitter_, target, flags); });
    }
private:
    template <std::size_t N> EmitterBroadcast &add(std::array<sockeye_bytes, N> &list, std::size_t &count, std::string_view text) noexcept {
        if (count == N) overflow_ = true;
        else list[count++] = detail::bytes(text);
        return *this;
    }
    // The pointers are set as late as this, so that a chain may be copied.
    template <class Call> Status apply(Call call) const noexcept {
        sockeye_emitter_target target = target_;
        target.rooms = rooms_.data();
        target.except = except_.data();
        return overflow_ ? SOCKEYE_ERR_TOO_BIG : call(&target);
    }
    sockeye_emitter *emitter_;
    sockeye_emitter_target target_ = detail::sized<sockeye_emitter_target>();
    std::uint32_t flags_ = 0;
    std::size_t attachment_count_ = 0;
    std::array<sockeye_bytes, 8> rooms_{}, except_{};
    std::array<sockeye_bytes, 10> attachments_{};
    bool overflow_ = false; // more of them than a chain has space for
};

namespace detail {
inline void free_emitter(sockeye_emitter *emitter) noexcept { sockeye_emitter_free(emitter); }
} // namespace detail

// `emitter.to("room").emit("news", "[1]")`; `emitter.all("/admin").emit(...)` is for everybody in that namespace. Its destructor gives what
// waits a second; close it first for another time.
class Emitter : public detail::Owned<sockeye_emitter, detail::free_emitter> {
public:
    using Owned::Owned;
    // The kind and options of the servers' adapter, the latter as a JSON object.
    static Result<Emitter> open(std::string_view kind, std::string_view json) noexcept {
        const auto call = [&](auto out) { return sockeye_emitter_open(kind.data(), kind.size(), json.data(), json.size(), out); };
        return detail::take<Emitter, sockeye_emitter *>(call);
    }
    EmitterBroadcast all(std::string_view nsp = "/") const noexcept { return EmitterBroadcast(get(), nsp); }
    EmitterBroadcast to(std::string_view room) const noexcept { return all().to(room); }
    EmitterBroadcast except(std::string_view room) const noexcept { return all().except(room); }
    Status emit(std::string_view name, std::string_view args = "[]") const noexcept { return all().emit(name, args); }
    // To the servers, not their clients.
    Status server_emit(std::string_view name, std::string_view args = "[]", std::string_view nsp = "/") const noexcept {
        const auto emission = detail::named(0, name, args);
        return sockeye_emitter_server_emit(get(), nsp.data(), nsp.size(), &emission);
    }
    // Waits until the broker has taken what was said before.
    Status flush(std::chrono::milliseconds timeout) const noexcept {
        return sockeye_emitter_flush(get(), static_cast<std::uint32_t>(timeout.count()));
    }
    Result<sockeye_emitter_state> state() const noexcept {
        return detail::measure<sockeye_emitter_state>([this](auto out) { return sockeye_emitter_get_state(get(), out); });
    }
    // Why the broker was last lost, or not reached.
    Result<Buffer> error() const noexcept {
        return detail::take<Buffer, sockeye_buffer *>([this](auto out) { return sockeye_emitter_error(get(), out); });
    }
    Status close(std::chrono::milliseconds grace) const noexcept {
        return sockeye_emitter_close(get(), static_cast<std::uint32_t>(grace.count()));
    }
};

} // namespace sockeye

#endif // SOCKEYE_EMITTER_HPP
