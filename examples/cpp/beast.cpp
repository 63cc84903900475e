// Socket.IO in a program that has a web server already, here one on Boost.Beast: the program keeps its listener, its routes and
// its event loop. What comes under /socket.io/ goes to the engine: a request by Engine::http, whose answer comes back when there is
// one (a long poll waits), and a WebSocket's connection as a whole, by Engine::adopt.
//
//   GET /            a line of text     GET /sessions     how many clients are connected
//   -> echo ...args, ack?      comes back as ack(...args), binary too, or as echo ...args
//
// Build: c++ -std=c++17 beast.cpp -lsockeye        (Debian: libboost-dev)        Run: ./beast        (also: HOST, PORT)
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio.hpp>
#include <boost/beast.hpp>
#include <unistd.h>

#include "sockeye.hpp"

namespace {

namespace net = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = net::ip::tcp;
using std::string_view;
using namespace std::chrono_literals;
using boost::system::error_code;

constexpr string_view ENGINE_PATH = "/socket.io/";
constexpr std::size_t BODY_BYTES_MAX = 2'000'000; // more than the engine takes, so that it is the one to refuse
std::atomic<int> sessions{0};

template <class T> T must(sockeye::Result<T> result, const char *what) {
    if (result) return *std::move(result);
    std::fprintf(stderr, "beast: %s: %s\n", what, sockeye::Status::message());
    std::exit(EXIT_FAILURE);
}

// A string_view of what Boost gives, and back.
string_view view(beast::string_view text) { return {text.data(), text.size()}; }
beast::string_view view(const char *text, std::size_t len) { return {text, len}; }

// One connection, and one request on it at a time. Everything runs on the thread of the io_context, but the engine's answer.
class Connection : public std::enable_shared_from_this<Connection> {
public:
    Connection(tcp::socket socket, const sockeye::Engine &engine) : stream_(std::move(socket)), engine_(engine) {
        error_code gone; // of a peer that has left already the address does not matter
        remote_ = stream_.socket().remote_endpoint(gone).address().to_string();
    }

    void read() {
        parser_.emplace();
        parser_->body_limit(BODY_BYTES_MAX);
        stream_.expires_after(60s);
        http::async_read(stream_, buffer_, *parser_, [self = shared_from_this()](error_code error, std::size_t) {
            if (!error) self->route();
        });
    }

private:
    using Response = http::response<http::string_body>;

    void route() {
        const auto &request = parser_->get();
        const auto target = view(request.target());
        stream_.expires_never();
        if (target.substr(0, ENGINE_PATH.size()) == ENGINE_PATH) {
            beast::websocket::is_upgrade(request) ? hand_over() : ask_engine();
        } else if (target == "/") {
            answer(http::status::ok, "Boost.Beast serves this; sockeye serves /socket.io/\n");
        } else if (target == "/sessions") {
            answer(http::status::ok, std::to_string(sessions) + "\n");
        } else {
            answer(http::status::not_found, "There is no such page.\n");
        }
    }

    void answer(http::status status, std::string body) {
        Response response(status, parser_->get().version());
        response.set(http::field::content_type, "text/plain");
        response.body() = std::move(body);
        response.prepare_payload();
        write(std::move(response));
    }

    void write(Response response) {
        const auto kept = std::make_shared<Response>(std::move(response));
        kept->keep_alive(parser_->get().keep_alive());
        stream_.expires_after(60s);
        http::async_write(stream_, *kept, [self = shared_from_this(), kept](error_code error, std::size_t) {
            if (error) return;
            if (kept->keep_alive()) return self->read();
            self->stream_.socket().shutdown(tcp::socket::shutdown_send, error);
        });
    }

    // The whole connection becomes the engine's: the request, as it can be read again, and what came after it.
    void hand_over() {
        std::ostringstream head;
        head << parser_->get();
        head.write(static_cast<const char *>(buffer_.data().data()), static_cast<std::streamsize>(buffer_.size()));
        const int fd = stream_.release_socket().release();
        if (!engine_.adopt(fd, head.str(), remote_)) ::close(fd);
    }

    void ask_engine() {
        const auto &request = parser_->get();
        std::vector<sockeye_header> headers;
        for (const auto &field : request)
            headers.push_back({field.name_string().data(), field.name_string().size(), field.value().data(), field.value().size()});
        sockeye_http_request given{};
        given.size = sizeof given;
        given.method = request.method_string().data();
        given.method_len = request.method_string().size();
        given.target = request.target().data();
        given.target_len = request.target().size();
        given.headers = headers.data();
        given.header_count = headers.size();
        given.body = request.body().data();
        given.body_len = request.body().size();
        given.remote = remote_.data();
        given.remote_len = remote_.size();
        // On a thread of the engine: the answer is copied, and written on ours.
        const auto on_answer = [self = shared_from_this()](const sockeye_http_answer &answer) {
            auto response = std::make_shared<Response>(self->response_of(answer));
            net::post(self->stream_.get_executor(), [self, response] {
                self->asked_ = 0;
                error_code ignored; // nothing is waited for if the peer left
                self->stream_.socket().cancel(ignored);
                self->write(std::move(*response));
            });
        };
        const auto id = engine_.http(given, on_answer);
        if (!id) return answer(http::status::service_unavailable, "");
        asked_ = *id;
        watch();
    }

    Response response_of(const sockeye_http_answer &answer) const {
        Response response(static_cast<http::status>(answer.status), 11);
        for (const auto *header = answer.headers; header < answer.headers + answer.header_count; ++header)
            response.insert(view(header->name, header->name_len), view(header->value, header->value_len));
        response.body().assign(static_cast<const char *>(answer.body), answer.body_len);
        return response;
    }

    // Tells the engine if the client leaves before the answer. What is readable meanwhile is that, or the client's next request.
    void watch() {
        stream_.socket().async_wait(tcp::socket::wait_read, [self = shared_from_this()](error_code error) {
            char byte;
            if (error || !self->asked_) return;
            self->stream_.socket().receive(net::buffer(&byte, 1), tcp::socket::message_peek, error);
            if (error && error != net::error::would_block) self->engine_.end(self->asked_);
        });
    }

    beast::tcp_stream stream_;
    const sockeye::Engine &engine_;
    std::string remote_;
    beast::flat_buffer buffer_;
    std::optional<http::request_parser<http::string_body>> parser_;
    sockeye_stream asked_ = 0; // the request that waits for the engine's answer
};

void accept(tcp::acceptor &acceptor, const sockeye::Engine &engine) {
    acceptor.async_accept([&](error_code error, tcp::socket socket) {
        if (!acceptor.is_open()) return;
        if (!error) {
            socket.non_blocking(true, error);
            std::make_shared<Connection>(std::move(socket), engine)->read();
        }
        accept(acceptor, engine);
    });
}

void on_events(const sockeye::Engine &engine, sockeye::Events events) {
    for (const sockeye::Event event : events) {
        const auto &raw = event.raw();
        if (event.kind() == SOCKEYE_EVENT_CONNECT) ++sessions;
        if (event.kind() == SOCKEYE_EVENT_DISCONNECT) --sessions;
        if (event.kind() != SOCKEYE_EVENT_MESSAGE) continue;
        // A peer may leave before our answer reaches it; that is life.
        if (event.token()) {
            sockeye_ack(engine.get(), event.token(), raw.data, raw.data_len, raw.attachments, raw.attachment_count);
        } else {
            (void)engine.socket(event).emit(event.name(), event.data());
        }
    }
}

const char *env(const char *name, const char *fallback) {
    const char *value = std::getenv(name);
    return value && *value ? value : fallback;
}

} // namespace

int main() {
    net::io_context io; // before the engine, and so longer: answers are posted to it until the engine's threads have ended
    const auto engine = must(sockeye::Engine::create(), "engine");
    if (!engine.queue().on_events(SOCKEYE_DELIVER_THREAD, [&engine](sockeye::Events events) { on_events(engine, events); })) return EXIT_FAILURE;

    const tcp::endpoint endpoint(net::ip::make_address(env("HOST", "127.0.0.1")), static_cast<unsigned short>(std::atoi(env("PORT", "3000"))));
    tcp::acceptor acceptor(io, endpoint);
    accept(acceptor, engine);
    net::signal_set signals(io, SIGINT, SIGTERM);
    signals.async_wait([&](error_code, int) {
        acceptor.close();
        io.stop();
    });
    std::printf("beast: http://%s:%u\n", env("HOST", "127.0.0.1"), static_cast<unsigned>(acceptor.local_endpoint().port()));
    std::fflush(stdout);
    io.run();
    (void)engine.close(1s);
    return EXIT_SUCCESS; // ~Engine waits for the engine's threads
}
