#include "server/metrics/text.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/samples.hpp"

#include <array>

using namespace sema;
using sema::test::sample;
using Kind = MetricsText::Kind;

namespace {

constexpr std::array<std::uint64_t, 2> bounds = {10, 2'500'000};

}  // namespace

TEST_CASE("a metric is written with its help, its type and its samples") {
    MetricsText text;
    text.begin("sema_things_total", Kind::counter, "Things.");
    text.add({{"pool", "a"}, {"code", "200"}}, 7);
    text.add({}, 8);
    text.begin("sema_size", Kind::gauge, "Size.");
    text.add({}, 0);
    CHECK(text.take() ==
          "# HELP sema_things_total Things.\n# TYPE sema_things_total counter\n"
          "sema_things_total{pool=\"a\",code=\"200\"} 7\nsema_things_total 8\n"
          "# HELP sema_size Size.\n# TYPE sema_size gauge\nsema_size 0\n");
}

TEST_CASE("a label's value is escaped as Prometheus reads it") {
    MetricsText text;
    text.begin("x", Kind::gauge, "X.");
    text.add({{"pool", "a\"b\\c\nd\xC3\xA4"}}, 1);
    CHECK(sample(text.take(), R"(x{pool="a\"b\\c\nd)"
                              "\xC3\xA4\"}") == "1");
}

TEST_CASE("control characters other than a line break are no part of a label's value") {
    CHECK(label_value(std::string("a\0b\tc\x7f", 6)) ==
          "a\xEF\xBF\xBD"
          "b\xEF\xBF\xBD"
          "c\xEF\xBF\xBD");
    CHECK(label_value("a\nb \xC3\xA4") == "a\nb \xC3\xA4");
}

TEST_CASE("microseconds are written as seconds, exactly") {
    MetricsText text;
    text.begin("x", Kind::gauge, "X.");
    text.add_seconds({{"n", "a"}}, 1);
    text.add_seconds({{"n", "b"}}, 1'500'000);
    text.add_seconds({{"n", "c"}}, 3'000'000);
    text.add_seconds({{"n", "d"}}, 0);
    const std::string written = text.take();
    CHECK(sample(written, "x{n=\"a\"}") == "0.000001");
    CHECK(sample(written, "x{n=\"b\"}") == "1.5");
    CHECK(sample(written, "x{n=\"c\"}") == "3");
    CHECK(sample(written, "x{n=\"d\"}") == "0");
}

TEST_CASE("a histogram counts a value in each bucket whose bound it does not exceed") {
    Histogram<OwnCounter, bounds> first;
    Histogram<OwnCounter, bounds> second;
    first.add(0);
    first.add(10);
    first.add(11);
    second.add(2'500'001);
    HistogramCounts total;
    first.add_to(total);
    second.add_to(total);
    MetricsText text;
    text.begin("x", Kind::histogram, "X.");
    text.add({{"pool", "p"}}, total, bounds, 1'000'000);
    const std::string written = text.take();
    CHECK(sample(written, R"(x_bucket{pool="p",le="0.00001"})") == "2");
    CHECK(sample(written, R"(x_bucket{pool="p",le="2.5"})") == "3");
    CHECK(sample(written, R"(x_bucket{pool="p",le="+Inf"})") == "4");
    CHECK(sample(written, R"(x_count{pool="p"})") == "4");
    CHECK(sample(written, R"(x_sum{pool="p"})") == "2.500022");
}
