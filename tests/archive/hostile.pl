# SPDX-License-Identifier: Apache-2.0
# hostile.pl: writes archives that attack whoever unpacks them, NAME.tar.zst each, into the current folder.
# The sentinel tree that they aim at is ../sentinel as seen from the target, and $ARGV[0] by its absolute path.
# Prints how many.
use strict;
use warnings;

my $abs = $ARGV[0];
my $count = 0;

# One header: fields by name; sum is computed unless given.
sub head {
	my (%f) = (mode => 0644, uid => 0, gid => 0, size => 0, mtime => 1000000000, type => '0', link => '',
		magic => "ustar\0" . '00', major => 0, minor => 0, prefix => '', @_);
	my $num = sub { my ($v, $n) = @_; return $v =~ /^\d+$/ ? sprintf("%0*o\0", $n - 1, $v) : $v };
	my $h = pack 'a100 a8 a8 a8 a12 a12 a8 a1 a100 a8 a32 a32 a8 a8 a155 x12',
		$f{name}, $num->($f{mode}, 8), $num->($f{uid}, 8), $num->($f{gid}, 8), $num->($f{size}, 12),
		$num->($f{mtime}, 12), ' ' x 8, $f{type}, $f{link}, $f{magic}, '', '', $num->($f{major}, 8),
		$num->($f{minor}, 8), $f{prefix};
	my $sum = 0;
	$sum += ord for split //, $h;
	substr($h, 148, 8) = $f{sum} // sprintf "%06o\0 ", $sum;
	return $h;
}

sub data { my ($d) = @_; return $d . "\0" x (-length($d) % 512) }
sub file { my ($n, $d, @f) = @_; return head(name => $n, size => length $d, @f) . data($d) }
sub dir { my ($n, @f) = @_; return head(name => $n, type => '5', mode => 0755, @f) }
sub sym { my ($n, $to, @f) = @_; return head(name => $n, type => '2', link => $to, @f) }
sub hard { my ($n, $to, @f) = @_; return head(name => $n, type => '1', link => $to, @f) }

sub pax {
	my (@kv) = @_;
	my $d = '';
	while (my ($k, $v) = splice @kv, 0, 2) {
		my $body = " $k=$v\n";
		my $len = length $body;
		$len = length($body) + length $len for 1 .. 3;
		$d .= "$len$body";
	}
	return head(name => 'PaxHeaders/x', type => 'x', size => length $d) . data($d);
}

sub longname { my ($type, $n) = @_; return head(name => '././@LongLink', type => $type, size => 1 + length $n) . data("$n\0") }

sub put {
	my ($name, @members) = @_;
	open my $h, '|-', "zstd -q -f -o $name.tar.zst" or die;
	binmode $h;
	# What follows must still be restored, or the archive be refused as a whole.
	print $h @members, file('after', 'after'), "\0" x 1024;
	close $h or die;
	$count++;
}

# Absolute and upward paths, in every place that holds one.
put('abs-file', file("$abs/new", 'x'));
put('abs-over', file("$abs/file", 'x'));
put('abs-slashes', file("//$abs/new", 'x'));
put('abs-dir', dir("$abs/newdir"));
put('abs-mode', dir($abs, mode => 0777));
put('abs-pax', pax(path => "$abs/new"), file('f', 'x'));
put('abs-long', longname('L', "$abs/new"), file('f', 'x'));
put('abs-prefix', file('new', 'x', prefix => $abs));
put('up-file', file('../sentinel/new', 'x'));
put('up-over', file('../sentinel/file', 'x'));
put('up-middle', dir('a'), file('a/../../sentinel/new', 'x'));
put('up-dots', file('./../sentinel/new', 'x'));
put('up-dir', dir('../sentinel/newdir'));
put('up-mode', dir('../sentinel', mode => 0777));
put('up-end', dir('a/..', mode => 0777));
put('up-self', dir('..', mode => 0777, uid => 1000));
put('up-pax', pax(path => '../sentinel/new'), file('f', 'x'));
put('up-long', longname('L', '../sentinel/new'), file('f', 'x'));
put('up-prefix', file('new', 'x', prefix => '../sentinel'));
put('up-sym', sym('../sentinel/link', 'file'));
put('up-fifo', head(name => '../sentinel/fifo', type => '6'));
put('up-dev', head(name => '../sentinel/dev', type => '3', major => 1, minor => 3));
put('up-sparse', pax('GNU.sparse.major' => 1, 'GNU.sparse.minor' => 0, 'GNU.sparse.name' => '../sentinel/new',
	'GNU.sparse.realsize' => 1), head(name => 'f', size => 513) . data("1\n0\n1\n") . data('x'));

# Through symlinks that the archive brings itself.
for my $to ('../sentinel', $abs) {
	my $n = $to eq $abs ? 'abs' : 'up';
	put("sym-$n-file", sym('s', $to), file('s/new', 'x'));
	put("sym-$n-over", sym('s', $to), file('s/file', 'x'));
	put("sym-$n-dir", sym('s', $to), dir('s/newdir'));
	put("sym-$n-mode", sym('s', $to), dir('s', mode => 0777, uid => 1000));
	put("sym-$n-slash", sym('s', $to), dir('s/', mode => 0777));
	put("sym-$n-dot", sym('s', $to), dir('s/.', mode => 0777));
	put("sym-$n-sym", sym('s', $to), sym('s/link', 'file'));
	put("sym-$n-fifo", sym('s', $to), head(name => 's/fifo', type => '6'));
	put("sym-$n-dev", sym('s', $to), head(name => 's/dev', type => '3', major => 1, minor => 3));
	put("sym-$n-hard", sym('s', $to), hard('h', 's/file'), file('h', 'x'));
	put("sym-$n-into", file('f', 'x'), sym('s', $to), hard('s/new', 'f'));
	put("sym-$n-deep", dir('a'), sym('a/s', $n eq 'up' ? '../../sentinel' : $to), file('a/s/sub/new', 'x'));
	put("sym-$n-two", sym('s', $to), sym('t', 's'), file('t/new', 'x'));
	put("sym-$n-write", sym('f', "$to/file"), file('f', 'x'));
	put("sym-$n-xattr", sym('f', "$to/file"), pax('SCHILY.xattr.user.evil' => 'x'), hard('f', 'f'));
	put("sym-$n-acl", pax('SCHILY.acl.access' => "user::rwx\nuser:x:rwx:1\ngroup::rwx\nmask::rwx\nother::rwx"),
		sym('f', "$to/file"));
	# A folder that becomes a symlink while its own metadata waits to be set.
	put("swap-$n", dir('d', mode => 0777, uid => 1000), sym('d', $to), file('d/new', 'x'));
	put("swap-$n-sub", dir('d'), dir('d/e', mode => 0777), sym('d', $to), dir('d/newdir', mode => 0777));
	put("swap-$n-back", sym('d', $to), dir('d', mode => 0777, uid => 1000), file('d/new', 'x'));
	put("swap-$n-file", file('d', 'x'), sym('d', $to), file('d/file', 'x'));
	put("swap-$n-hard", sym('s', $to), hard('d', 's'), file('d/new', 'x'));
}
put('sym-chain', sym('a', '.'), sym('a/b', '..'), file('a/b/sentinel/new', 'x'));
put('sym-root', sym('.', '../sentinel'), file('new', 'x'));
put('sym-root2', sym('./', $abs), file('./new', 'x'));
put('sym-loop', sym('a', 'b'), sym('b', 'a'), file('a/new', 'x'));

# Hard links to what is outside.
put('hard-abs', hard('h', "$abs/file"), file('h', 'x'));
put('hard-up', hard('h', '../sentinel/file'), file('h', 'x'));
put('hard-data', hard('h', '../sentinel/file', size => 1) . data('x'));
put('hard-pax', pax(linkpath => "$abs/file"), hard('h', 'f'), file('h', 'x'));
put('hard-long', longname('K', "$abs/file"), hard('h', 'f'), file('h', 'x'));
put('hard-dir', dir('d'), hard('h', 'd'), file('h/new', 'x'));
put('hard-self', hard('h', 'h'), file('h', 'x'));
put('hard-none', hard('h', 'not-there'));
put('hard-root', hard('h', '.'));

# Numbers that lie.
put('size-huge', head(name => 'f', size => "\x80" . "\xff" x 11));
put('size-negative', head(name => 'f', size => "\xff" x 12));
put('size-max', head(name => 'f', size => "\x80\0\0\0\x7f" . "\xff" x 7));
put('size-pax', pax(size => '9223372036854775807'), file('f', 'x'));
put('size-pax-over', pax(size => '99999999999999999999'), file('f', 'x'));
put('size-long', head(name => 'f', type => 'L', size => 9999999999));
put('size-x', head(name => 'f', type => 'x', size => 9999999999));
put('pax-length', head(name => 'x', type => 'x', size => 10) . data("99 path=a\n"), file('f', 'x'));
put('pax-short', head(name => 'x', type => 'x', size => 10) . data("3 path=aa\n"), file('f', 'x'));
put('pax-zero', head(name => 'x', type => 'x', size => 10) . data("0 path=aa\n"), file('f', 'x'));
put('pax-nul', pax(path => "a\0../sentinel/new"), file('f', 'x'));
put('pax-global', head(name => 'g', type => 'g', size => 25) . data("25 path=../sentinel/new1\n"), file('f', 'x'));
put('sparse-behind', pax('GNU.sparse.map' => '0,1,9000000000000000000,1', 'GNU.sparse.size' => 9), file('f', 'xx'));
put('sparse-back', pax('GNU.sparse.map' => '5,1,0,1', 'GNU.sparse.size' => 9), file('f', 'xx'));
put('sparse-count', pax('GNU.sparse.major' => 1, 'GNU.sparse.minor' => 0, 'GNU.sparse.name' => 'f',
	'GNU.sparse.realsize' => 1), head(name => 'f', size => 512) . data("99999999999\n"));
put('sum', head(name => 'f', sum => "000000\0 "));
put('type', head(name => 'f', type => '%'));
put('uid', pax(uid => '4294967295'), file('f', 'x'));
put('xattr-name', pax('SCHILY.xattr.' . 'n' x 300 => 'x'), file('f', 'x'));
put('xattr-system', pax('SCHILY.xattr.system.posix_acl_access' => 'x' x 60), file('f', 'x'));

# Names that speak to terminals and other programs; duplicates; ends that are missing.
put('name-escape', file("\e]0;evil\a\e[31m", 'x'));
put('name-newline', file("a\nb", 'x'));
put('name-dash', file('-rf', 'x'), file('--', 'x'));
put('name-empty', file('', 'x'));
put('name-dot', file('.', 'x'));
put('name-long', longname('L', 'n' x 300), file('f', 'x'));
put('name-part', file('.thinark-0000000000000000', 'x'));
put('twice-file', file('f', 'first'), file('f', 'second'));
put('twice-dir', dir('d', mode => 0700), file('d/f', 'x'), dir('d', mode => 0755));
put('twice-mixed', dir('d'), file('d/f', 'x'), file('d', 'x'));
put('twice-under', file('d', 'x'), file('d/f', 'x'));
put('deep', file(join('/', ('d') x 40), 'x'), longname('L', join('/', ('d') x 5000)), file('f', 'x'));
put('devices', head(name => 'sda', type => '4', major => 8, minor => 0, mode => 0666));
put('setuid', file('su', 'x', mode => 04755));
print "$count\n";
