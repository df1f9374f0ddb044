#pragma once

#include "common/wire.hpp"
#include "server/callback/allow_list.hpp"
#include "server/callback/receiver.hpp"

#include <curl/curl.h>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sema::callback {

/// What does not change from one request to the next.
struct RequestOptions {
    AllowList allowed;
    /// A file with the authorities whose certificates receivers have; empty: the system's.
    std::string authorities;
};

/// One request to a receiver: a POST of JSON, over a connection of its own. It goes to an address that
/// `options` allow, follows nothing, and takes nothing from the environment. It is over with the header of
/// the answer, of which no more is read than some kilobytes.
class Attempt {
  public:
    struct Message {
        std::string id;
        std::int64_t timestamp = 0;
        std::string body;
    };
    struct Result {
        /// 0 where there was no answer.
        long status = 0;
        /// Why it is no success, for people; empty where it is one. It names no more than the host.
        std::string error{};
        std::optional<std::chrono::seconds> retry_after{};

        bool is_success() const { return status >= 200 && status < 300; }
    };

    /// REQUIRES: `options` allow the receiver.
    Attempt(std::shared_ptr<const RequestOptions> options, const wire::Callback& callback, Receiver receiver,
            const std::vector<std::string>& keys, Message message, std::chrono::milliseconds time_limit);
    Attempt(const Attempt&) = delete;
    Attempt& operator=(const Attempt&) = delete;

    /// To be added to a multi handle, and taken out of it again before the attempt goes.
    CURL* handle() const { return handle_.get(); }
    /// REQUIRES: the multi handle is done with it.
    Result result(CURLcode code) const;

  private:
    struct FreeHandle {
        void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
    };
    struct FreeList {
        void operator()(curl_slist* list) const { curl_slist_free_all(list); }
    };

    void add_header(const std::string& name, const std::string& value);
    static curl_socket_t open_socket(void* attempt, curlsocktype purpose, curl_sockaddr* address);
    static std::size_t refuse_body(char*, std::size_t, std::size_t, void*) { return 0; }
    static std::size_t take_header(char* bytes, std::size_t size, std::size_t count, void* attempt);
    std::string trouble(CURLcode code, long status) const;

    const std::shared_ptr<const RequestOptions> options_;
    const Receiver receiver_;
    const Message message_;
    const std::chrono::milliseconds time_limit_;
    std::unique_ptr<curl_slist, FreeList> headers_;
    std::array<char, CURL_ERROR_SIZE> trouble_{};
    std::size_t received_ = 0;
    /// The header of the answer is complete.
    bool is_answered_ = false;
    /// An address that is not allowed was found, and one that is.
    bool is_refused_ = false;
    bool is_allowed_ = false;
    /// The last that is made, since it uses the others.
    std::unique_ptr<CURL, FreeHandle> handle_;
};

}  // namespace sema::callback
