# SPDX-License-Identifier: Apache-2.0
# damage.pl THINARK NAME KIND COUNT SEED: damages copies of NAME.tar.zst and NAME.json, one at a time, and
# asks "verify".  KIND: flips, truncations, swaps, edits, deep (flips, without the manifest).  Prints and
# checks how many were detected.
use strict;
use warnings;

my ($thinark, $name, $kind, $count, $seed) = @ARGV;
srand $seed;

sub slurp { my ($f) = @_; open my $h, '<:raw', $f or die "$f: $!"; local $/; return scalar <$h> }
sub spill { my ($f, $d) = @_; open my $h, '>:raw', $f or die "$f: $!"; print $h $d; close $h or die }

my $archive = slurp("$name.tar.zst");
my $manifest = slurp("$name.json");
my $len = length $archive;

# Frames of the tar, from the seek table.
my ($frames) = unpack 'V', substr $archive, -9, 4;
my @frames;
my $at = 0;
my $table = $len - 9 - 8 * $frames;
for my $i (0 .. $frames - 1) {
	my ($packed, $raw) = unpack 'VV', substr $archive, $table + 8 * $i, 8;
	push @frames, [$at, $packed] if $raw;
	$at += $packed;
}
die "too few frames\n" if @frames < 8;

sub flip {
	my $pos = int rand $len;
	my $copy = $archive;
	substr($copy, $pos, 1) = chr(ord(substr $copy, $pos, 1) ^ (1 << int rand 8));
	return ($copy, $manifest, "bit at $pos");
}

sub truncated {
	my $to = int rand $len;
	return (substr($archive, 0, $to), $manifest, "cut to $to");
}

# Two frames change places; the file stays as long, and every frame as good, as before.
sub swapped {
	my ($i, $k) = (0, 0);
	($i, $k) = sort { $a <=> $b } int rand @frames, int rand @frames while $i == $k;
	my ($a, $b) = map { substr $archive, $_->[0], $_->[1] } @frames[$i, $k];
	my $between = substr $archive, $frames[$i][0] + length $a, $frames[$k][0] - $frames[$i][0] - length $a;
	my $copy = substr($archive, 0, $frames[$i][0]) . $b . $between . $a .
		substr $archive, $frames[$k][0] + length $b;
	if ($k % 2) {
		# With a seek table that agrees.
		substr($copy, $table + 8 * $i, 8) = substr $archive, $table + 8 * $k, 8;
		substr($copy, $table + 8 * $k, 8) = substr $archive, $table + 8 * $i, 8;
	}
	return ($copy, $manifest, "frames $i and $k");
}

# A digit, a letter, a line, a whole value: what is still JSON, and what is not.
sub edited {
	my ($n) = @_;
	my $copy = $manifest;
	my $how = $n % 5;
	if ($how == 0) {
		my @digits;
		push @digits, pos($copy) - 1 while $copy =~ /\d/g;
		my $pos = $digits[int rand @digits];
		my $old = substr $copy, $pos, 1;
		substr($copy, $pos, 1) = ($old + 1 + int rand 9) % 10;
	} elsif ($how == 1) {
		my @letters;
		push @letters, pos($copy) - 1 while $copy =~ /[a-z]/g;
		substr($copy, $letters[int rand @letters], 1) = 'z';
		return edited($n) if $copy eq $manifest;
	} elsif ($how == 2) {
		my @lines = split /^/, $copy;
		splice @lines, 1 + int rand(@lines - 2), 1;
		$copy = join '', @lines;
	} elsif ($how == 3) {
		$copy =~ s/"complete": true/"complete": false/;
		$copy .= ' ' x ($n + 1);
	} else {
		$copy = substr $copy, 0, int rand length $copy;
	}
	return ($archive, $copy, "edit $n");
}

my %make = (flips => \&flip, deep => \&flip, truncations => \&truncated, swaps => \&swapped, edits => \&edited);
my $found = 0;
spill('x.tar.zst', $archive);
spill('x.json', $manifest) unless $kind eq 'deep';
for my $n (1 .. $count) {
	my ($a, $m, $what) = $make{$kind}->($n);
	spill('x.tar.zst', $a) if $a ne $archive;
	spill('x.json', $m) if $m ne $manifest;
	my $rc = system "$thinark -q verify x.tar.zst >verify.out 2>&1";
	if ($rc >> 8 == 22 && slurp("verify.out") =~ /damaged/) { $found++ }
	else { print "not detected: $what (exit ", $rc >> 8, ")\n", slurp("verify.out") }
	spill('x.json', $manifest) if $m ne $manifest;
}
unlink 'x.tar.zst', 'x.json';
print "$kind: $found of $count detected\n";
exit($found != $count);
