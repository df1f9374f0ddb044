// What wire.hpp writes.
#include "common/callback_field.hpp"
#include "common/waiter_id.hpp"
#include "common/wire.hpp"

#include <array>
#include <charconv>
#include <initializer_list>
#include <limits>
#include <utility>

namespace sema::wire {
namespace {

// Its keys stay in the order in which the reference lists them.
using nlohmann::ordered_json;

// For the most frequent answers: bodies of fixed shape, whose values need no escaping.
void append(std::string& text, std::int64_t number) {
    std::array<char, std::numeric_limits<std::int64_t>::digits10 + 2> digits;
    text.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr);
}

double seconds(Duration duration) {
    return std::chrono::duration<double>(duration).count();
}

// As a JSON integer where it is one.
ordered_json seconds_json(Duration duration) {
    if (duration == std::chrono::floor<std::chrono::seconds>(duration)) return whole_seconds(duration);
    return seconds(duration);
}

std::string dump(const ordered_json& value) {
    return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

ordered_json to_value(const Holder* holder) {
    if (!holder) return nullptr;
    ordered_json value = ordered_json::object();
    if (holder->name) value["name"] = *holder->name;
    if (holder->url) value["url"] = *holder->url;
    return value;
}

ordered_json to_value(const std::optional<std::int64_t>& number) {
    return number ? ordered_json(*number) : ordered_json(nullptr);
}

// Payloads are JSON already.
std::string joined(const std::vector<Payload>& payloads) {
    std::string text = "[";
    for (const Payload& payload : payloads) {
        if (text.size() > 1) text += ',';
        text += payload;
    }
    return text += ']';
}

std::string joined(const std::vector<unsigned>& positions) {
    std::string text = "[";
    for (const unsigned position : positions) {
        if (text.size() > 1) text += ',';
        append(text, position);
    }
    return text += ']';
}

std::string setting_json(bool value) {
    return value ? "true" : "false";
}

std::string setting_json(const std::string& value) {
    return dump(value);
}

std::string setting_json(Duration value) {
    return dump(seconds_json(value));
}

template <SettingWord Word>
std::string setting_json(Word value) {
    return '"' + std::string(word_of(value)) + '"';
}

std::string setting_json(const std::vector<Payload>& value) {
    return joined(value);
}

template <class Value>
void append(std::string& text, const Setting<Value>& setting, const Value& value) {
    text += std::string(",\"") + setting.field + "\":" + setting_json(value);
}

void append(std::string& text, const char* name, std::int64_t number) {
    text += name;
    append(text, number);
}

// An entry of a list, behind those that are there already.
void append(std::string& text, const PoolDetails::HolderEntry& entry) {
    if (text.back() != '[') text += ',';
    append(text, R"({"position":)", entry.position);
    text += R"(,"positions":)" + joined(entry.positions);
    text += R"(,"holder":)" + dump(to_value(entry.holder.get()));
    append(text, R"(,"granted_at_unix":)", entry.granted_at_unix);
    append(text, R"(,"expires_at_unix":)", entry.expires_at_unix);
    append(text, R"(,"expires_in":)", entry.expires_in);
    append(text, R"(,"fence":)", static_cast<std::int64_t>(entry.fence));
    text += '}';
}

void append(std::string& text, const PoolDetails::QueueEntry& entry) {
    if (text.back() != '[') text += ',';
    append(text, R"({"rank":)", static_cast<std::int64_t>(entry.rank));
    append(text, R"(,"slots":)", entry.slots);
    append(text, R"(,"priority":)", entry.priority);
    text += R"(,"holder":)" + dump(to_value(entry.holder.get()));
    append(text, R"(,"waiting_for":)", entry.waiting_for);
    if (entry.away) text += R"(,"away":true)";
    if (entry.callback) text += R"(,"callback":true)";
    if (entry.eta) append(text, R"(,"eta":)", *entry.eta);
    if (entry.waiter) text += R"(,"waiter":")" + waiter_text(*entry.waiter) + '"';
    text += '}';
}

void append(std::string& text, const PoolDetails::RestingSlot& slot) {
    if (text.back() != '[') text += ',';
    append(text, R"({"position":)", slot.position);
    append(text, R"(,"until_unix":)", slot.until_unix);
    text += '}';
}

// REQUIRES: the slot is out of service.
void append(std::string& text, const SlotState& slot) {
    if (text.back() != '[') text += ',';
    append(text, R"({"position":)", slot.position);
    text += R"(,"reason":)" + dump(slot.out->reason);
    append(text, R"(,"since_unix":)", slot.out->since_unix);
    text += '}';
}

void append(std::string& text, const CallbackList::Entry& entry) {
    const auto number = [&](const char* name, const std::optional<std::int64_t>& value) {
        text += name;
        value ? append(text, *value) : void(text += "null");
    };
    if (text.back() != '[') text += ',';
    text += entry.rank ? R"({"state":"waiting")" : R"({"state":"delivering")";
    number(R"(,"rank":)", entry.rank);
    text += R"(,"holder":)" + dump(to_value(entry.holder.get()));
    text += R"(,"url":)" + dump(entry.url);
    append(text, R"(,"attempts":)", entry.attempts);
    text += R"(,"last_error":)" + (entry.last_error ? dump(*entry.last_error) : "null");
    number(R"(,"next_attempt_in":)", entry.next_attempt_in);
    append(text, R"(,"waiting_for":)", entry.waiting_for);
    number(R"(,"expires_in":)", entry.expires_in);
    text += '}';
}

void append(std::string& text, const PoolList::Entry& pool) {
    if (text.back() != '[') text += ',';
    text += R"({"id":")" + pool.id.str() + R"(","name":)";
    text += pool.name.empty() ? "null" : dump(pool.name);
    append(text, R"(,"count":)", pool.count);
    append(text, R"(,"in_use":)", pool.in_use);
    append(text, R"(,"available":)", pool.available);
    append(text, R"(,"queue":)", static_cast<std::int64_t>(pool.queue));
    if (pool.oldest_wait) append(text, R"(,"oldest_wait":)", *pool.oldest_wait);
    text += '}';
}

}  // namespace

std::string to_json(const RegisterRequest& request) {
    std::string text;
    append(text, R"({"count":)", request.count);
    for_each_setting([&](const auto& setting) {
        if (const auto& value = request.settings.*setting.change) append(text, setting, *value);
    });
    return text += '}';
}

std::string to_json(const BorrowRequest& request) {
    ordered_json body{{"ttl", seconds(request.ttl)}, {"wait", seconds(request.wait)}};
    if (!request.extended) return dump(body);
    if (request.lease) body["lease"] = request.lease->str();
    body["slots"] = request.slots;
    body["priority"] = request.priority;
    if (request.holder) body["holder"] = to_value(request.holder.get());
    if (request.callback) body["callback"] = to_value(*request.callback);
    return dump(body);
}

std::string to_json(const ReturnRequest& request) {
    ordered_json body{{"lease", request.lease.str()}};
    if (request.fence) body["fence"] = *request.fence;
    return dump(body);
}

std::string to_json(const KeepaliveRequest& request) {
    ordered_json body{{"lease", request.lease.str()}, {"ttl", seconds(request.ttl)}};
    if (request.fence) body["fence"] = *request.fence;
    return dump(body);
}

std::string to_json(const ResizeRequest& request) {
    return dump({{"by", request.by}});
}

std::string to_json(const RevokeRequest& request) {
    ordered_json body{{"position", request.position}};
    if (request.fence) body["fence"] = *request.fence;
    return dump(body);
}

std::string to_json(const SlotRequest& request) {
    ordered_json body{{"out", request.out}};
    if (request.reason) body["reason"] = *request.reason;
    return dump(body);
}

std::string to_json(const CancelRequest& request) {
    return R"({"waiter":")" + waiter_text(request.waiter) + "\"}";
}

std::string to_json(const PoolState& state) {
    return dump({{"id", state.id.str()},
                 {"count", state.count},
                 {"in_use", state.in_use},
                 {"available", state.available}});
}

std::string to_json(const LeaseGrant& grant) {
    std::string text;
    text.reserve(160);
    text += R"({"lease":")";
    text += grant.lease.str();
    text += R"(","position":)";
    append(text, grant.position);
    text += R"(,"expires_at_unix":)";
    append(text, grant.expires_at_unix);
    text += R"(,"expires_in":)";
    append(text, grant.expires_in);
    if (grant.details) {
        text += R"(,"positions":)" + joined(grant.details->positions);
        text += R"(,"fence":)" + std::to_string(grant.details->fence);
        text += R"(,"slots":)" + joined(grant.details->slots);
        text += R"(,"granted_at_unix":)";
        append(text, grant.details->granted_at_unix);
    }
    text += '}';
    return text;
}

std::string to_json(const BorrowRefused& answer) {
    return dump({{"error", answer.error},
                 {"rank", answer.rank},
                 {"queue", answer.queue},
                 {"in_use", answer.in_use},
                 {"count", answer.count},
                 {"eta", to_value(answer.eta)}});
}

std::string to_json(const BorrowQueued& answer) {
    return dump({{"lease", answer.lease.str()},
                 {"rank", answer.rank},
                 {"queue", answer.queue},
                 {"eta", to_value(answer.eta)}});
}

std::string to_json(const Callback& callback) {
    return dump(to_value(callback));
}

std::string to_json(const CallbackList& list) {
    std::string text = R"({"callbacks":[)";
    for (const CallbackList::Entry& entry : list.callbacks)
        append(text, entry);
    return text += "]}";
}

std::string to_json(const Returned& answer) {
    return answer.returned ? R"({"returned":true})" : R"({"returned":false})";
}

std::string to_json(const Deleted& answer) {
    return dump({{"deleted", answer.deleted}});
}

std::string to_json(const Renewed& answer) {
    if (!answer.lease) return R"({"renewed":false})";
    return R"({"renewed":true,)" + to_json(*answer.lease).substr(1);
}

std::string to_json(const Revoked& answer) {
    return dump({{"revoked", answer.revoked}});
}

std::string to_json(const SlotState& answer) {
    ordered_json body{{"position", answer.position},
                      {"out", answer.out.has_value()},
                      {"reason", nullptr},
                      {"since_unix", nullptr}};
    if (answer.out) {
        body["reason"] = answer.out->reason;
        body["since_unix"] = answer.out->since_unix;
    }
    return dump(body);
}

std::string to_json(const Cancelled& answer) {
    return dump({{"cancelled", answer.cancelled}});
}

// There may be thousands of holders and waiters, so their entries are not built as values first.
std::string to_json(const PoolDetails& view) {
    std::string text = R"({"id":")" + view.id.str() + R"(","name":)";
    text += view.settings.name.empty() ? "null" : dump(view.settings.name);
    append(text, R"(,"count":)", view.count);
    append(text, R"(,"in_use":)", view.in_use);
    append(text, R"(,"available":)", view.available);
    for_each_setting([&](const auto& setting) {
        if (setting.is_shown) append(text, setting, view.settings.*setting.value);
    });
    text += R"(,"holders":[)";
    for (const auto& entry : view.holders)
        append(text, entry);
    text += R"(],"queue":[)";
    for (const auto& entry : view.queue)
        append(text, entry);
    text += R"(],"out":[)";
    for (const SlotState& slot : view.out)
        append(text, slot);
    text += R"(],"eta":)" + dump(to_value(view.eta));
    if (!view.resting.empty()) {
        text += R"(,"resting":[)";
        for (const auto& slot : view.resting)
            append(text, slot);
        text += ']';
    }
    return text += '}';
}

std::string to_json(const SlotList& list) {
    std::string text = R"({"id":")" + list.id.str() + '"';
    append(text, R"(,"count":)", static_cast<std::int64_t>(list.slots.size()));
    return text += R"(,"slots":)" + joined(list.slots) + '}';
}

std::string to_json(const PoolList& list) {
    PoolListWriter writer(list.pools.size());
    for (const auto& pool : list.pools)
        writer.add(pool);
    return std::move(writer).finish();
}

PoolListWriter::PoolListWriter(std::size_t expected) {
    // With a short name. In one piece, so that no long text is ever copied into a longer one.
    constexpr std::size_t usual_entry = 140;
    text_.reserve((expected + 1) * usual_entry);
    text_ = R"({"pools":[)";
}

void PoolListWriter::add(const PoolList::Entry& pool) {
    append(text_, pool);
}

std::string PoolListWriter::finish() && {
    text_ += "]}";
    return std::move(text_);
}

std::string to_json(const ServerVersion& answer) {
    return dump({{"version", answer.version}});
}

std::string to_json(const ErrorBody& answer) {
    return dump({{"error", answer.error}});
}

}  // namespace sema::wire
