#!/usr/bin/env bash
# Makes the key files that the tests read, with the tools that people make
# them with. They are test keys: they protect nothing. Every passphrase is
# "correct horse". Needs openssl 3, openssh-client, putty-tools, gnupg and a
# JDK (keytool). Run it in an empty folder and copy what it makes.
set -euo pipefail
P='correct horse'
pk() { openssl genpkey -algorithm "$@" 2>/dev/null; }

pk RSA -pkeyopt rsa_keygen_bits:2048 >rsa2048.pkcs8.pem
pk RSA -pkeyopt rsa_keygen_bits:1024 >rsa1024.pkcs8.pem
pk RSA -pkeyopt rsa_keygen_bits:512 >rsa512.pkcs8.pem
K=rsa2048.pkcs8.pem
openssl rsa -in $K -traditional -out rsa2048.pkcs1.pem
openssl pkcs8 -topk8 -nocrypt -in $K -outform DER -out rsa2048.pkcs8.der
openssl rsa -in $K -traditional -outform DER -out rsa2048.pkcs1.der

enc() { openssl pkcs8 -topk8 -in $K -passout "pass:$P" "$@"; }
enc -v2 aes-256-cbc -v2prf hmacWithSHA256 -out encrypted.pbkdf2-sha256-aes256.pem
enc -v2 aes-128-cbc -v2prf hmacWithSHA1 -out encrypted.pbkdf2-sha1-aes128.pem
enc -v2 aes-192-cbc -v2prf hmacWithSHA512 -out encrypted.pbkdf2-sha512-aes192.pem
enc -v2 des3 -out encrypted.pbkdf2-3des.pem
enc -scrypt -out encrypted.scrypt.pem
enc -v2 aes-256-cbc -outform DER -out encrypted.pbkdf2.der
enc -v2 camellia-256-cbc -out encrypted.camellia.pem
enc -v1 PBE-SHA1-3DES -out encrypted.pbes1-3des.pem
openssl rsa -in $K -traditional -aes256 -passout "pass:$P" -out encrypted.legacy-aes256.pem
openssl rsa -in $K -traditional -des3 -passout "pass:$P" -out encrypted.legacy-3des.pem

openssl pkey -in $K -pubout -out public.pem
openssl pkey -in $K -pubout -outform DER -out public.der
openssl rsa -in $K -RSAPublicKey_out -out public.pkcs1.pem
openssl pkey -in rsa1024.pkcs8.pem -pubout -out public1024.pem
openssl req -x509 -new -key $K -subj '/CN=Compliance Officer' -days 36500 -out certificate.pem
openssl x509 -in certificate.pem -outform DER -out certificate.der
openssl req -new -key $K -subj '/CN=Compliance Officer' -out request.pem
openssl req -in request.pem -outform DER -out request.der
openssl pkcs12 -export -inkey $K -in certificate.pem -passout "pass:$P" -name officer -out store.p12
openssl pkcs12 -in store.p12 -passin "pass:$P" -nodes -nocerts -out rsa2048.bag-attributes.pem
cat certificate.pem $K >certificate-and-key.pem
openssl crl2pkcs7 -nocrl -certfile certificate.pem -out certificates.p7b
keytool -importkeystore -srckeystore store.p12 -srcstoretype PKCS12 -srcstorepass "$P" \
  -destkeystore store.jks -deststoretype JKS -deststorepass "$P" 2>/dev/null

openssl ecparam -name prime256v1 -genkey -out ec.sec1.pem
pk EC -pkeyopt ec_paramgen_curve:P-256 >ec.pkcs8.pem
openssl pkey -in ec.pkcs8.pem -pubout -out ec.public.pem
pk ED25519 >ed25519.pem
openssl pkey -in ed25519.pem -pubout -out ed25519.public.pem
pk X25519 >x25519.pem
pk ED448 >ed448.pem
pk RSA-PSS -pkeyopt rsa_keygen_bits:2048 >rsa-pss.pem
openssl genpkey -genparam -algorithm DSA -pkeyopt dsa_paramgen_bits:1024 -out dsa.parameters.pem 2>/dev/null
openssl genpkey -paramfile dsa.parameters.pem -out dsa.pem

ssh-keygen -q -t rsa -b 2048 -N '' -C officer -f openssh-rsa && mv openssh-rsa.pub openssh-rsa.public
ssh-keygen -q -t rsa -b 2048 -N "$P" -C officer -f openssh-rsa-encrypted && rm openssh-rsa-encrypted.pub
ssh-keygen -q -t ed25519 -N '' -C officer -f openssh-ed25519 && rm openssh-ed25519.pub
ssh-keygen -e -f openssh-rsa.public >openssh-rsa.rfc4716
puttygen openssh-rsa -O private -o putty.ppk
home=$(mktemp -d)
gpg --homedir "$home" --batch --quiet --passphrase '' --quick-gen-key officer rsa2048 2>/dev/null
gpg --homedir "$home" --batch --armor --export-secret-keys >pgp.private.asc
gpg --homedir "$home" --batch --armor --export >pgp.public.asc
gpgconf --homedir "$home" --kill gpg-agent
rm -rf "$home"
