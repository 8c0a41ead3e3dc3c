#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
#
# Tests replay-log on logs made here: whatever it rebuilds has to be a disk that a power cut may leave.
use strict;
use warnings;
no warnings 'portable';
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);

my $tool = dirname(abs_path($0)) . '/replay-log';
my $dir = tempdir(CLEANUP => 1);
my ($log, $disk) = ("$dir/log", "$dir/disk");
my ($checks, $bad) = (0, 0);
use constant { SECTORS => 64, MARK => 64, FLUSH => 1, FUA => 2, DISCARD => 4, MARKED => 8 };

sub check {
	my ($good, $what) = @_;
	$checks++;
	return if $good;
	$bad++;
	print "not ok: $what\n";
}

sub spill { my ($name, $bytes) = @_; open(my $f, '>:raw', $name) or die; print $f $bytes; close($f) or die }
sub slurp { my ($name) = @_; open(my $f, '<:raw', $name) or die; local $/; return <$f> }
sub tool { my $out = qx($tool @_ 2>&1); return ($? >> 8, $out) }

sub header { return pack('a512', pack('Q<4', @_)) }
sub super { return pack('a512', pack('Q<3L<', 0x6a736677736872, 1, $_[0], 512)) }

# A sector's value is the number of the entry that wrote it; 0 is the disk as it was.
sub sector_of { return pack('a512', "entry $_[0]\n") }

# make_log: a random one; returns its entries as [kind, sector, count]
sub make_log {
	my ($count) = @_;
	my (@entries, $bytes, $line);
	for my $n (0 .. $count - 1) {
		my $kind = $n < 3 ? 'promise' : (qw(write write write write discard flush promise))[rand 7];
		my $length = 1 + int(rand(20));
		my $at = int(rand(SECTORS - $length));
		if ($kind eq 'write') {
			$bytes .= header($at, $length, 0, 0) . sector_of($n) x $length;
		} elsif ($kind eq 'discard') {
			$bytes .= header($at, $length, DISCARD, 0);
		} elsif ($kind eq 'flush') {
			$bytes .= header(0, 0, FLUSH, 0);
		} else {
			# The kernel writes a page.
			$bytes .= header(MARK, 8, 0, 0) . pack('a4096', ++$line . "\n");
		}
		push @entries, [$kind, $at, $length, $line];
	}
	spill($log, super($count) . $bytes);
	return @entries;
}

# legal DISK CUT ENTRIES: nothing flushed is lost, nothing comes from nowhere
sub legal {
	my ($bytes, $cut, @entries) = @_;
	my $flush = -1;
	for (0 .. $cut - 1) { $flush = $_ if $entries[$_][0] eq 'flush' }
	for my $sector (0 .. SECTORS - 1) {
		my %may = (sector_of(-1) => 1);
		for my $n (0 .. $cut - 1) {
			my ($kind, $at, $length) = @{ $entries[$n] };
			next if $kind eq 'flush' || $kind eq 'promise' || $sector < $at || $sector >= $at + $length;
			%may = () if $n < $flush;
			$may{$kind eq 'write' ? sector_of($n) : "\0" x 512} = 1;
		}
		return "sector $sector" unless $may{substr($bytes, $sector * 512, 512)};
	}
	return '';
}

# -- what it rebuilds

my ($cuts, $lost, $early, $torn) = (0) x 4;
for my $seed (1 .. 6) {
	srand($seed);
	my @entries = make_log(200);
	my ($code, $plan) = tool("plan $log 20 $seed ${\MARK}");
	check($code == 0, "plan: $plan");
	check($plan eq (tool("plan $log 20 $seed ${\MARK}"))[1], 'the same seed, the same plan');
	my @plan = map { [split ' '] } split /\n/, $plan;
	check(@plan == 21 && $plan[0][0] == 0, 'a beginning and 20 cuts');
	spill($disk, sector_of(-1) x SECTORS);
	my $from = 0;
	for (@plan) {
		my ($cut, $number, $promised) = @$_;
		my ($said) = (grep { $_ } map { $_->[0] eq 'promise' ? $_->[3] : 0 } reverse @entries[0 .. $cut - 1], [''])[0] // 0;
		check($promised == $said, "cut $cut: promised $promised, not $said");
		($code, $from) = tool("advance $log $disk ${\MARK} $from $cut");
		check($code == 0, "advance: $from");
		chomp $from;
		my $certain = slurp($disk);
		check(legal($certain, $cut, @entries) eq '', "cut $cut: the certain part: " . legal($certain, $cut, @entries));
		spill("$disk.cut", $certain);
		($code, my $done) = tool("cut $log $disk.cut ${\MARK} $from $cut $number");
		check($code == 0, "cut: $done");
		my $wrong = legal(slurp("$disk.cut"), $cut, @entries);
		check($wrong eq '', "cut $cut: $wrong");
		my @n = split ' ', $done;
		$lost += $n[1], $early += $n[2], $torn += $n[3], $cuts++;
	}
	# All at once is the same as step by step.
	spill("$disk.once", sector_of(-1) x SECTORS);
	tool("advance $log $disk.once ${\MARK} 0 $plan[-1][0]");
	check(slurp("$disk.once") eq slurp($disk), 'advance in one step');
}
check($lost >= 50 && $early >= 20 && $torn >= 20, "only $lost lost, $early early, $torn torn");

# A journal's commit block is there or not; what only begins like one may be torn.
for (['a commit block', 2, 0], ['a descriptor block', 1, 1]) {
	my ($what, $type, $may) = @$_;
	my ($kept, $parts) = (0, 0);
	spill($log, super(1) . header(8, 8, 0, 0) . pack('N2', 0xC03B3998, $type) . 'x' x 4088);
	for my $seed (1 .. 60) {
		spill($disk, "\0" x (SECTORS * 512));
		my ($code, $done) = tool("cut $log $disk ${\MARK} 0 1 $seed");
		check($code == 0, "$what: $done");
		my $sectors = grep { substr(slurp($disk), (8 + $_) * 512 + 8, 504) ne "\0" x 504 } 0 .. 7;
		$kept++ if $sectors;
		$parts++ if $sectors % 8;
	}
	check($kept >= 10 && ($may ? $parts >= 10 : !$parts), "$what: $kept kept, $parts of them torn");
}

# -- what it refuses

my @good = (header(3, 1, 0, 0) . sector_of(0), header(0, 0, FLUSH, 0));
for (
	['an empty file', '', 'ends at 0'],
	['zeroes', "\0" x 4096, 'not a log of writes'],
	['a version', pack('a512', pack('Q<3L<', 0x6a736677736872, 2, 0, 512)), 'version 2'],
	['a sector size', pack('a512', pack('Q<3L<', 0x6a736677736872, 1, 0, 500)), 'sector size of 500'],
	['a sector size of none', pack('a512', pack('Q<3L<', 0x6a736677736872, 1, 0, 0)), 'sector size of 0'],
	['too many entries', super(3) . join('', @good), 'ends at 2048|do not fit'],
	['a great many entries', super(1 << 62) . join('', @good), 'do not fit'],
	['no header', super(2) . substr(join('', @good), 0, 1024 + 20), 'do not fit|ends at'],
	['data cut off', super(1) . substr($good[0], 0, 1000), 'but the log ends'],
	['flags', super(1) . header(0, 0, 16, 0), 'unknown flags 0x10'],
	['a length', super(1) . header(0, 1 << 60, 0, 0), 'sectors long'],
	['a length that is discarded', super(1) . header(0, 1 << 60, DISCARD, 0), 'sectors long'],
	['a place', super(1) . header(1 << 60, 1, 0, 0) . sector_of(0), 'begins at sector'],
	['a mark', super(1) . header(0, 0, MARKED, 4096), 'a mark of 4096'],
) {
	my ($what, $bytes, $says) = @$_;
	spill($log, $bytes);
	my ($code, $out) = tool("list $log");
	check($code != 0 && $out =~ /^replay-log: \Q$log\E: .*(?:$says)/m, "$what: $code: $out");
}
spill($log, super(2) . join('', @good));
check((tool("list $log"))[1] =~ /^flush at 1: 1 writes, 1 sectors\n2 entries: 1 writes, 0 discards, 1 flushes$/, 'list');
for (
	["plan $log 1 1 64", 'nothing was promised'], ["plan $log 1 1 3", 'no number at the mark'],
	["advance $log $disk 64 0 3", 'a cut at 3 of 2'], ["advance $log $disk 64 7\@1 1", 'no position 7@1'],
	["advance $log $disk 64 1 1", 'no position 1'], ["advance $log $disk 64 x 1", "'x' is no position"],
	["cut $log $disk 64 0 2 1", 'a flush after 0'], ["plan $log x 1 64", "'x' is no number"],
	["frob $log", 'usage:'], ["list $dir/absent", 'No such file'],
) {
	my ($code, $out) = tool($_->[0]);
	check($code != 0 && index($out, $_->[1]) >= 0, "$_->[0]: $code: $out");
}
spill($disk, 'x' x 1024);
check((tool("advance $log $disk 64 0 2"))[1] =~ /sector 3\+1, but \S+ has 2$/, 'a disk that is too small');
spill($log, super(1) . header(3, 1, FUA, 0) . sector_of(0));
check((tool("advance $log $disk 64 0 1"))[1] =~ /a write through the cache/, 'a write through the cache');

print "$cuts cuts: $lost writes lost, $early early, $torn torn; $checks checks, $bad failed\n";
exit($bad || $checks < 500 ? 1 : 0);
