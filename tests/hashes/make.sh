#!/bin/sh
# Makes the corpus again: `tests/hashes/make.sh > /tmp/new.tsv`, lines of system, command, recipe and hash. Needs Python with passlib 1.7.4,
# Django, werkzeug, argon2-cffi, PyNaCl, pwdlib and bcrypt < 5; Node with better-auth, lucia, oslo, bcryptjs, firebase-scrypt, drupal-hash and
# wordpress-hash-node; Perl on a system with libxcrypt; PHP; Ruby with bcrypt. The times in corpus.tsv are of one verification on one core, in
# milliseconds, optimized.
set -eu
cd "$(dirname "$0")"
python3 make.py
node make.mjs
perl -e 'my $p = "Tr0ub4dor&3 zoo";
for (["crypt MD5", "\$1\$abcdefgh\$"], ["crypt SHA-256", "\$5\$abcdefghijklmnop\$"], ["crypt SHA-512", "\$6\$abcdefghijklmnop\$"],
     ["crypt SHA-512 with rounds", "\$6\$rounds=10000\$abcdefgh\$"], ["yescrypt", "\$y\$j9T\$abcdefghijklmnop1234\$"],
     ["yescrypt 8", "\$y\$jCT\$abcdefghijklmnop1234\$"], ["crypt scrypt", "\$7\$CU..../....abcdefghijklmnop1234\$"],
     ["crypt bcrypt", "\$2b\$05\$abcdefghijklmnopqrstuu"], ["crypt bcrypt a", "\$2a\$05\$abcdefghijklmnopqrstuu"],
     ["crypt bcrypt y", "\$2y\$05\$abcdefghijklmnopqrstuu"]) {
  print "$_->[0]\tperl 5 with libxcrypt: crypt(password, setting)\t\t", crypt($p, $_->[1]), "\n" }'
php -r '$p = "Tr0ub4dor&3 zoo";
foreach ([["PHP bcrypt", PASSWORD_BCRYPT], ["PHP argon2i", PASSWORD_ARGON2I], ["PHP argon2id", PASSWORD_ARGON2ID]] as [$n, $a])
  echo "$n\tPHP " . PHP_VERSION . ": password_hash(\$password, ..)\t\t" . password_hash($p, $a) . "\n";'
ruby -e 'require "bcrypt"; puts "Ruby bcrypt\tRuby bcrypt: BCrypt::Password.create(password)\t\t" + BCrypt::Password.create("Tr0ub4dor&3 zoo").to_s'
