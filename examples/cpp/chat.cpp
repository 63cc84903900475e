// The chat of examples/c/chat.c in C++17, on include/sockeye.hpp: the same page, and the same protocol with it, which is told at
// the head of chat.c.
//
// Run: CLIENT_DIR=node_modules/socket.io-client ./chat-cpp        (also: HOST, PORT, PAGE_DIR)
#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "sockeye.hpp"

namespace {

using std::string_view;
using namespace std::chrono_literals;

constexpr std::array<string_view, 4> ROOMS{"lobby", "games", "music", "help"};
constexpr std::size_t PEOPLE_MAX = 200; // everybody gets the whole list at each change: fine for a house party, not for a stadium
constexpr std::size_t NAME_BYTES_MAX = 60;  // the page allows 20 UTF-16 units, at most 3 bytes each
constexpr std::size_t TEXT_BYTES_MAX = 8000; // of JSON: 1000 units, some of them escaped

const char *env(const char *name, const char *fallback) {
    const char *value = std::getenv(name);
    return value && *value ? value : fallback;
}

// At start-up any failure is the end.
void must(sockeye::Status status, const char *what) {
    if (status) return;
    std::fprintf(stderr, "chat: %s: %s\n", what, status.message());
    std::exit(EXIT_FAILURE);
}

template <class T> T must(sockeye::Result<T> result, const char *what) {
    must(result.status(), what);
    return *std::move(result);
}

// Later a peer may leave before our answer reaches it; that is life. Anything else is worth a line.
void expect(sockeye::Status status, const char *what) {
    if (!status && !status.gone() && status.code() != SOCKEYE_ERR_CLOSED)
        std::fprintf(stderr, "chat: %s: %s\n", what, status.message());
}

// Which of our rooms that is, in storage that lasts.
std::optional<string_view> room_of(std::optional<std::string> name) {
    const auto found = std::find(ROOMS.begin(), ROOMS.end(), name.value_or(""));
    return found == ROOMS.end() ? std::nullopt : std::optional(*found);
}

// The engine calls on_events from one thread of its own, so the people need no lock.
class Chat {
public:
    explicit Chat(const sockeye::Engine &engine)
        : engine_(engine), io_(must(engine.of("/", SOCKEYE_NSP_AUTHORIZE), "namespace")), say_(must(engine.atom("say"), "say")),
          move_(must(engine.atom("move"), "move")), typing_(must(engine.atom("typing"), "typing")) {}

    void on_events(sockeye::Events events) {
        for (const sockeye::Event event : events) on_event(event);
    }

private:
    // By the user value of the socket, a number that we give when we admit it. Without a socket, it is about to connect.
    struct Person {
        sockeye_socket socket = 0;
        string_view room;
        std::string text; // the name
        std::string name; // the name as a JSON string
    };

    void on_event(const sockeye::Event &event) {
        if (event.kind() == SOCKEYE_EVENT_AUTHORIZE) return on_authorize(event);
        const auto found = people_.find(event.user());
        if (found == people_.end()) return;
        Person &person = found->second;
        if (event.kind() == SOCKEYE_EVENT_CONNECT) {
            person.socket = event.socket();
            enter(person);
            tell_who_is_here();
        } else if (event.kind() == SOCKEYE_EVENT_DISCONNECT) { // the engine has already taken it out of its rooms
            expect(io_.to(person.room).emit("left", "[" + person.name + "]"), "left");
            people_.erase(found);
            tell_who_is_here();
        } else if (event.kind() == SOCKEYE_EVENT_MESSAGE) {
            if (event.atom() == say_) on_say(person, event);
            else if (event.atom() == move_) on_move(person, event);
            else if (event.atom() == typing_) on_typing(person, event);
        }
    }

    // A person is noted as soon as the engine has our yes: from then on CONNECT and DISCONNECT are certain to come.
    void on_authorize(const sockeye::Event &event) {
        const std::string text = event.string("/name").value_or("");
        const auto room = room_of(event.string("/room"));
        if (const char *problem = problem_with(text)) return expect(engine_.reject(event, problem), "refuse");
        if (!room) return expect(engine_.reject(event, "There is no such room.", R"({"room":"lobby"})"), "refuse");
        if (engine_.accept(event, ++last_user_)) people_[last_user_] = {0, *room, text, sockeye::json::quote(text)};
    }

    const char *problem_with(const std::string &name) const {
        const auto invisible = [](char c) { return static_cast<unsigned char>(c) < ' '; };
        const auto same = [&](const auto &entry) { return entry.second.text == name; };
        if (name.empty()) return "Please give a name.";
        if (name.size() > NAME_BYTES_MAX) return "That name is too long.";
        if (std::any_of(name.begin(), name.end(), invisible)) return "A name is made of visible characters.";
        if (std::any_of(people_.begin(), people_.end(), same)) return "Somebody here has that name.";
        return people_.size() < PEOPLE_MAX ? nullptr : "The house is full.";
    }

    void enter(const Person &person) {
        expect(engine_.socket(person.socket).join(person.room), "join");
        expect(engine_.socket(person.socket).to(person.room).emit("joined", "[" + person.name + "]"), "joined");
    }

    // The text goes out as the JSON string that came in: checked by the engine, decoded by nobody.
    void on_say(const Person &person, const sockeye::Event &event) {
        const string_view text = event.get("/0").value_or("");
        if (text.size() <= 2 || text.front() != '"' || text.size() > TEXT_BYTES_MAX)
            return answer(event, R"(["A message is text, and not too long."])");
        std::string args = "[" + person.name + ",";
        args.append(text).append("]");
        expect(engine_.socket(person.socket).to(person.room).emit("message", args), "message");
        answer(event, "[]");
    }

    void on_move(Person &person, const sockeye::Event &event) {
        const auto room = room_of(event.string("/0"));
        answer(event, room ? "[]" : R"(["There is no such room."])");
        if (!room || *room == person.room) return;
        expect(engine_.socket(person.socket).leave(person.room), "leave");
        expect(io_.to(person.room).emit("left", "[" + person.name + "]"), "left");
        person.room = *room;
        enter(person);
        tell_who_is_here();
    }

    void on_typing(const Person &person, const sockeye::Event &event) {
        const std::string args = "[" + person.name + (event.data() == "[true]" ? ",true]" : ",false]");
        expect(engine_.socket(person.socket).to(person.room).as_volatile().emit("typing", args), "typing");
    }

    void answer(const sockeye::Event &event, string_view args) {
        if (event.token()) expect(engine_.ack(event.token(), args), "ack");
    }

    // Everybody learns who is where.
    void tell_who_is_here() {
        std::string args;
        for (const string_view room : ROOMS) {
            args.append(args.empty() ? "[{\"" : "],\"").append(room).append("\":[");
            for (const auto &[user, person] : people_) {
                if (!person.socket || person.room != room) continue;
                if (args.back() != '[') args += ',';
                args += person.name;
            }
        }
        expect(io_.emit("here", args + "]}]"), "here");
    }

    const sockeye::Engine &engine_;
    sockeye::Namespace io_;
    sockeye_atom say_, move_, typing_;
    std::map<std::uint64_t, Person> people_;
    std::uint64_t last_user_ = 0;
};

} // namespace

int main() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, nullptr);

    sockeye::Options options;
    if (const char *client_dir = env("CLIENT_DIR", nullptr)) options.set_client_dir(client_dir);
    const sockeye::Engine engine = must(sockeye::Engine::create(options), "engine");
    must(engine.mount("/", env("PAGE_DIR", "examples/c/chat")), "PAGE_DIR");
    const auto chat = std::make_shared<Chat>(engine); // the handler keeps it as long as the engine's threads run
    must(engine.queue().on_events(SOCKEYE_DELIVER_THREAD, [chat](sockeye::Events events) { chat->on_events(events); }), "events");

    const std::string host = env("HOST", "127.0.0.1");
    const auto port = must(engine.listen(host + ":" + env("PORT", "3000")), "listen");
    std::printf("Chat on http://%s:%u\n", host.c_str(), static_cast<unsigned>(port));
    std::fflush(stdout);

    int signal_number = 0;
    sigwait(&signals, &signal_number);
    must(engine.close(1s), "close");
    return EXIT_SUCCESS; // ~Engine waits for the engine's threads
}
