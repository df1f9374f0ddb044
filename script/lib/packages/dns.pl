#!/usr/bin/env perl
# The smallest name server: dns.pl ADDRESS NAME answers queries on 127.0.0.1:53 by UDP with that IPv4 address for
# that name, with nothing for its other records, and with "no such name" for any other.
use strict;
use warnings;
use IO::Socket::INET;

my ($address, $known) = @ARGV;
my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1:53', Proto => 'udp') or die "127.0.0.1:53: $!\n";
while (defined $socket->recv(my $query, 512)) {
    my ($id, @labels) = (substr($query, 0, 2));
    my $at = 12;
    while (my $length = ord substr($query, $at, 1)) {
        push @labels, substr($query, $at + 1, $length);
        $at += 1 + $length;
    }
    my $question = substr($query, 12, $at + 5 - 12);
    my $type = unpack 'n', substr($query, $at + 1, 2);
    my $is_known = lc(join '.', @labels) eq $known;
    my $answer = $is_known && $type == 1 ? pack('n n n N n a4', 0xc00c, 1, 1, 60, 4, inet_aton($address)) : '';
    my $flags = 0x8580 | ($is_known ? 0 : 3);
    $socket->send($id . pack('n5', $flags, 1, $answer ? 1 : 0, 0, 0) . $question . $answer);
}
