#pragma once

#include <boost/asio/error.hpp>

#include <string>

namespace sema {

/// What went wrong with a connection or a name, in words for people.
inline std::string describe_network_error(const boost::system::error_code& error) {
    namespace trouble = boost::asio::error;
    if (error == trouble::host_not_found) return "there is no host of that name";
    if (error == trouble::host_not_found_try_again) return "no name server answers";
    if (error == trouble::no_data) return "there is no address for that name";
    if (error == trouble::service_not_found) return "there is no such port";
    if (error == trouble::eof) return "it hung up";
    return error.message();
}

}  // namespace sema
