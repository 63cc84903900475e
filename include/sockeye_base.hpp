// sockeye_base.hpp: what sockeye.hpp is made of: results, ownership, and JSON text. Include that one; its rules are these.
#ifndef SOCKEYE_BASE_HPP
#define SOCKEYE_BASE_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "sockeye.h"

namespace sockeye {

// How a call ended: 0 or positive is success, negative one of SOCKEYE_ERR_*. It may be ignored: that a peer has just left
// (SOCKEYE_ERR_STALE, SOCKEYE_ERR_GONE) is no fault of the program.
class Status {
public:
    constexpr Status(sockeye_result code) noexcept : code_(code) {}
    constexpr explicit operator bool() const noexcept { return code_ >= 0; }
    constexpr sockeye_result code() const noexcept { return code_; }
    // The peer, or the question that was to be answered, is gone: rarely worth a line in the log.
    constexpr bool gone() const noexcept { return code_ == SOCKEYE_ERR_STALE || code_ == SOCKEYE_ERR_GONE; }
    const char *name() const noexcept { return sockeye_error_name(code_); }
    // The text of this thread's last failure: read it before the next call.
    static const char *message() noexcept { return sockeye_last_error(); }
private:
    sockeye_result code_;
};

// A T, or the code of what went wrong. Look at it as a bool before using * or ->.
template <class T> class [[nodiscard]] Result {
public:
    Result(T value) : status_(SOCKEYE_OK), value_(std::move(value)) {}
    Result(Status failure) noexcept : status_(failure) {}
    explicit operator bool() const noexcept { return value_.has_value(); }
    T &operator*() & { return *value_; }
    const T &operator*() const & { return *value_; }
    T &&operator*() && { return *std::move(value_); }
    T *operator->() { return &*value_; }
    const T *operator->() const { return &*value_; }
    Status status() const noexcept { return status_; }
private:
    Status status_;
    std::optional<T> value_;
};

namespace detail {
inline sockeye_bytes bytes(std::string_view text) noexcept { return {text.data(), text.size()}; }

template <class... Texts> std::array<sockeye_bytes, sizeof...(Texts)> list(const Texts &...texts) noexcept {
    return {bytes(texts)...};
}

// A zeroed struct of the ABI that knows its size.
template <class T> T sized() noexcept {
    T value{};
    value.size = sizeof(T);
    return value;
}

inline sockeye_emission named(sockeye_atom atom, std::string_view name, std::string_view args) noexcept {
    auto emission = sized<sockeye_emission>();
    emission.name = atom;
    emission.name_ptr = name.data();
    emission.name_len = name.size();
    emission.data = args.data();
    emission.data_len = args.size();
    return emission;
}

// Calls with a place for a Raw, and makes a T of what was written there.
template <class T, class Raw = T, class Call> Result<T> take(Call call) noexcept {
    Raw out{};
    const Status status = call(&out);
    if (!status) return status;
    return T(out);
}

// Calls with a struct that knows its size, and gives it filled.
template <class T, class Call> Result<T> measure(Call call) noexcept {
    T out = sized<T>();
    const Status status = call(&out);
    if (!status) return status;
    return out;
}

// An object of the library, freed with this one.
template <class T, void (*free_function)(T *)> class Owned {
public:
    explicit Owned(T *owned) noexcept : owned_(owned) {}
    T *get() const noexcept { return owned_.get(); }
private:
    struct Free {
        void operator()(T *owned) const noexcept { free_function(owned); }
    };
    std::unique_ptr<T, Free> owned_;
};

inline void close_and_free(sockeye_engine *engine) noexcept {
    sockeye_engine_close(engine, 0);
    sockeye_engine_free(engine);
}
} // namespace detail

// Payload text or bytes that the library shares with you; move-only.
class Buffer : public detail::Owned<sockeye_buffer, sockeye_buffer_free> {
public:
    using Owned::Owned;
    std::string_view view() const noexcept {
        std::size_t len = 0;
        const void *data = sockeye_buffer_data(get(), &len);
        return {static_cast<const char *>(data), len};
    }
    operator std::string_view() const noexcept { return view(); }
};

// An emission that is encoded once and sent often; move-only. Make it with Namespace::prepare.
using Message = detail::Owned<sockeye_message, sockeye_message_free>;

namespace json {
// The slice of the JSON text that an RFC 6901 pointer ("/0/name") finds; none if it is absent, or the text is not JSON.
inline std::optional<std::string_view> get(std::string_view text, std::string_view pointer) noexcept {
    const char *found = nullptr;
    std::size_t len = 0;
    const Status status = sockeye_json_get(text.data(), text.size(), pointer.data(), pointer.size(), &found, &len);
    if (!status || !found) return std::nullopt;
    return std::string_view(found, len);
}

// The text that a JSON string stands for; none if it is not a JSON string. Decoding never makes it longer.
inline std::optional<std::string> string(std::string_view text) {
    std::string out(text.size(), '\0');
    const std::int64_t len = sockeye_json_string(text.data(), text.size(), out.data(), out.size());
    if (len < 0 || static_cast<std::size_t>(len) > out.size()) return std::nullopt;
    out.resize(static_cast<std::size_t>(len));
    return out;
}

// The text as a JSON string, quotes included; empty if it is not UTF-8. A byte becomes at most six (\u001f).
inline std::string quote(std::string_view text) {
    std::string out(text.size() * 6 + 2, '\0');
    const std::int64_t len = sockeye_json_quote(text.data(), text.size(), out.data(), out.size());
    out.resize(len < 0 ? 0 : static_cast<std::size_t>(len));
    return out;
}
} // namespace json
} // namespace sockeye

#endif // SOCKEYE_BASE_HPP
