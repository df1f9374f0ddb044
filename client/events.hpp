#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

namespace sema {

/// One event of a stream.
struct ServerEvent {
    /// `message` where the stream gives it no name.
    std::string name;
    /// The lines of its data, with a newline between them.
    std::string data;
};

/// Reads a stream of server-sent events (the WHATWG's text/event-stream) as its bytes come in, wherever they
/// are cut. Comments and all fields but `event` and `data` are read over. An event that the stream's end cuts
/// off never comes.
class EventParser {
  public:
    /// A line, and an event's data, may be this long.
    explicit EventParser(std::size_t longest) : longest_(longest) {}

    /// Takes the next bytes of the stream. False where something in it is too long: it can't be read on.
    [[nodiscard]] bool feed(std::string_view bytes);

    /// The next event that is whole, if there is one.
    std::optional<ServerEvent> next();

  private:
    bool end_line();
    bool take_field(std::string_view name, std::string_view value);
    void dispatch();

    std::size_t longest_;
    std::string line_;
    /// A LF that comes next belongs to the CR before it.
    bool after_cr_ = false;
    bool at_begin_ = true;
    std::string name_;
    std::string data_;
    bool has_data_ = false;
    std::deque<ServerEvent> events_;
};

}  // namespace sema
