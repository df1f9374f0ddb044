#include "tests/e2e/receivers.hpp"

#include "tests/support/catch.hpp"

#include <ctime>
#include <fstream>
#include <stdexcept>
#include <utility>

namespace sema::test {
namespace {

const std::string examples = PROJECT_FOLDER "/docs/callbacks/";

std::string output_of(const std::string& line, ProgramOptions options) {
    const Finished done = run_program({"sh", "-c", line}, std::move(options));
    if (done.status != 0) throw std::runtime_error(line + ": " + done.err);
    return done.out;
}

}  // namespace

Receiver::Receiver(Kind kind, const std::string& secret, const std::string& job, ProgramOptions options) {
    options.environment["HOOK_SECRET"] = secret;
    if (kind == Kind::python) {
        start({"python3", examples + "receiver.py", "--listen", "127.0.0.1:0", "--", "sh", "-c", job},
              std::move(options));
        return;
    }
    options.environment["JOB"] = job;
    std::vector<std::string> command = {"systemd-socket-activate", "--accept", "--inetd", "-l",
                                        "127.0.0.1:" + std::to_string(port_.number())};
    // It passes on nothing else.
    for (const auto& [name, value] : options.environment) {
        command.emplace_back("-E");
        command.push_back(name);
    }
    command.insert(command.end(), {"-E", "PATH", examples + "receiver.sh"});
    options.directory = folder_.path();
    program_ = std::make_unique<Program>(std::move(command), std::move(options));
    if (!program_->warns("Listening on")) throw std::runtime_error(program_->err());
    url_ = "http://127.0.0.1:" + std::to_string(port_.number());
}

Receiver::Receiver(std::vector<std::string> command, ProgramOptions options) {
    start(std::move(command), std::move(options));
}

void Receiver::start(std::vector<std::string> command, ProgramOptions options) {
    // What Python compiles would be left beside its source.
    options.environment["PYTHONDONTWRITEBYTECODE"] = "1";
    options.directory = folder_.path();
    program_ = std::make_unique<Program>(std::move(command), std::move(options));
    const std::string begin = "listening on ";
    if (!program_->prints(begin)) throw std::runtime_error(program_->err());
    // The line may come in two parts.
    if (!eventually([&] { return program_->out().find('\n') != std::string::npos; }))
        throw std::runtime_error("the receiver does not say where it listens");
    const std::string out = program_->out();
    const auto at = out.find(begin) + begin.size();
    url_ = out.substr(at, out.find('\n', at) - at);
}

SignedCallback SignedCallback::make(const std::string& id, const std::string& body,
                                    const std::vector<std::string>& secrets, int age) {
    SignedCallback callback{body, {}};
    const std::string timestamp = std::to_string(std::time(nullptr) - age);
    std::string signatures;
    for (const std::string& secret : secrets) {
        ProgramOptions options;
        options.input = id + "." + timestamp + "." + body;
        options.environment["SECRET"] = secret.substr(std::string("whsec_").size());
        signatures +=
            (signatures.empty() ? "v1," : " v1,") +
            output_of(
                "key=$(printf %s \"$SECRET\" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \\n'); "
                "openssl dgst -sha256 -mac HMAC -macopt hexkey:$key -binary | openssl base64 -A",
                options);
    }
    callback.headers = {{"webhook-id", id},
                        {"webhook-timestamp", timestamp},
                        {"webhook-signature", signatures},
                        {"content-type", "application/json"}};
    return callback;
}

Answered SignedCallback::send_to(const std::string& url) const {
    std::vector<std::string> command = {"curl",      "-sS", "-i", "--max-time", "60",
                                        "--noproxy", "*",   "-X", "POST"};
    if (!body.empty()) command.insert(command.end(), {"--data-binary", "@-"});
    for (const auto& [name, value] : headers) {
        command.emplace_back("-H");
        command.push_back(name + ": " + value);
    }
    command.push_back(url);
    ProgramOptions options;
    options.input = body;
    const Finished done = run_program(command, options);
    INFO(done.err);
    REQUIRE(done.status == 0);
    const auto end = done.out.find("\r\n\r\n");
    REQUIRE(end != std::string::npos);
    return {std::stoi(done.out.substr(done.out.find(' ') + 1, 3)), done.out.substr(0, end),
            done.out.substr(end + 4)};
}

std::string new_secret() {
    return "whsec_" + output_of("openssl rand -base64 32 | tr -d '\\n'", {});
}

}  // namespace sema::test
