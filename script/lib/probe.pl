# The command that script/compare-wrappers has wrapped. It notes in FOLDER/record when it starts, which
# signals it gets and when it ends, one line `MICROSECONDS NAME EVENT` each, and touches FOLDER/NAME.alive
# as long as it lives. TERM, INT and HUP end it; FOLDER/NAME.finish, FOLDER/over and the end of SECONDS (60)
# end it with status 0. It is Perl, since a shell does not get to know of a SIGCHLD that somebody sent.
#
#   perl probe.pl FOLDER NAME [SECONDS]
use strict;
use warnings;
use Time::HiRes qw(time sleep);

my ($folder, $name, $seconds) = @ARGV;
my $latest = time + ($seconds // 60);
open(my $record, '>>', "$folder/record") or die "$folder/record: $!";
open(my $alive, '>', "$folder/$name.alive") or die "$folder/$name.alive: $!";

# A short line appended to a file goes in whole and in order, whoever else appends.
sub note { syswrite($record, sprintf("%d %s %s\n", time * 1_000_000, $name, join(' ', @_))); }

for my $signal (qw(USR1 USR2 URG CHLD CONT WINCH QUIT)) {
    $SIG{$signal} = sub { note($signal) };
}
my %number = (HUP => 1, INT => 2, TERM => 15);
for my $signal (keys %number) {
    $SIG{$signal} = sub { note($signal); note('end'); exit 128 + $number{$signal}; };
}

note('start', $$);
until (-e "$folder/$name.finish" || -e "$folder/over" || !-d $folder || time > $latest) {
    syswrite($alive, '.');
    sleep 0.02;
}
note('end') if -d $folder;
