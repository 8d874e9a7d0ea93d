/* Makes fingerprints of the RSA keys that Debian's OpenSSL 0.9.8c-1 … 0.9.8g-8 could make (CVE-2008-0166).
 *
 * Its generator mixed in nothing but the process id: MD_Update of the caller's bytes had been commented out. What is
 * simulated is therefore only how often the pool is stirred, by how many octets each time, and the width and byte
 * order of the counters; written from the description of the algorithm, and checked against published hashes
 * (scripts/debian_weak.py). Compile: cc -O2 -o debian_weak debian_weak.c -lcrypto
 *
 * Usage: debian_weak BITS WORD(32|64) ORDER(le|be) RND(rnd|nornd|noreadrnd) FIRST LAST  → "pid modulus-hex" per line
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/bn.h>
#include <openssl/sha.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POOL 1023
#define DIGEST 20

static int word, big;
static uint8_t pool[POOL + DIGEST], md[DIGEST];
static uint64_t count[2];
static int pool_filled, pool_at, polled, entropy, stirred;
static uint32_t pid;

static void counters(SHA_CTX *h, const uint64_t c[2]) {
    for (int i = 0; i < 2; i++) {
        uint8_t b[8];
        int size = word / 8;
        for (int k = 0; k < size; k++) b[big ? size - 1 - k : k] = (uint8_t)(c[i] >> (8 * k));
        SHA1_Update(h, b, size);
    }
}

static void pool_into(SHA_CTX *h, int at, int size, int end) {
    int over = at + size - end;
    if (over > 0) {
        SHA1_Update(h, pool + at, size - over);
        SHA1_Update(h, pool, over);
    } else
        SHA1_Update(h, pool + at, size);
}

/* RAND_add: what is added does not matter, only how much. */
static void add(int num, int worth) {
    uint8_t local[DIGEST];
    uint64_t c[2] = {count[0], count[1]};
    int at = pool_at;
    memcpy(local, md, DIGEST);
    pool_at += num;
    if (pool_at >= POOL) {
        pool_at %= POOL;
        pool_filled = POOL;
    } else if (pool_filled < POOL && pool_at > pool_filled)
        pool_filled = pool_at;
    count[1] += (num + DIGEST - 1) / DIGEST;
    for (int i = 0; i < num; i += DIGEST) {
        int j = num - i > DIGEST ? DIGEST : num - i;
        SHA_CTX h;
        SHA1_Init(&h);
        SHA1_Update(&h, local, DIGEST);
        pool_into(&h, at, j, POOL);
        counters(&h, c);
        SHA1_Final(local, &h);
        c[1]++;
        for (int k = 0; k < j; k++) {
            pool[at++] ^= local[k];
            if (at >= POOL) at = 0;
        }
    }
    for (int k = 0; k < DIGEST; k++) md[k] ^= local[k];
    if (entropy < 32) entropy += worth;
}

static void poll_once(void) {
    if (polled) return;
    polled = 1;
    add(32, 32);                                   /* /dev/urandom */
    for (int i = 0; i < 3; i++) add(word / 8, 0);  /* pid, uid, time */
}

static void bytes(uint8_t *out, int num) {
    int ceiling = (num + 9) / 10 * 10, first = 1;
    poll_once();
    if (!stirred) {
        for (int n = POOL; n > 0; n -= DIGEST) add(DIGEST, 0);
        if (entropy >= 32) stirred = 1;
    }
    int at = pool_at, end = pool_filled;
    uint64_t c[2] = {count[0], count[1]};
    uint8_t local[DIGEST];
    SHA_CTX h;
    memcpy(local, md, DIGEST);
    pool_at += ceiling;
    if (pool_at > pool_filled) pool_at %= pool_filled;
    count[0]++;
    while (num > 0) {
        int j = num >= 10 ? 10 : num;
        num -= j;
        SHA1_Init(&h);
        if (first && pid) {
            uint8_t b[4];
            for (int k = 0; k < 4; k++) b[big ? 3 - k : k] = (uint8_t)(pid >> (8 * k));
            SHA1_Update(&h, b, 4);
            first = 0;
        }
        SHA1_Update(&h, local, DIGEST);
        counters(&h, c);
        pool_into(&h, at, 10, end);
        SHA1_Final(local, &h);
        for (int i = 0; i < 10; i++) {
            pool[at++] ^= local[i];
            if (at >= end) at = 0;
            if (i < j) *out++ = local[i + 10];
        }
    }
    SHA1_Init(&h);
    counters(&h, c);
    SHA1_Update(&h, local, DIGEST);
    SHA1_Update(&h, md, DIGEST);
    SHA1_Final(md, &h);
}

/* BN_rand: it stirs the time in first, which adds nothing but a turn. */
static void draw(BIGNUM *r, int bits, int top_two_and_odd) {
    uint8_t b[512];
    add(word / 8, 0);
    bytes(b, bits / 8);
    if (top_two_and_odd) {
        b[0] |= 0xC0;
        b[bits / 8 - 1] |= 1;
    }
    BN_bin2bn(b, bits / 8, r);
}

static uint16_t primes[2048];

/* r modulo every prime, by way of its residues modulo products of a few primes that fit a word. */
static void residues(const BIGNUM *r, uint32_t *mods) {
    uint8_t b[512];
    int limbs = (BN_num_bytes(r) + 7) / 8;
    BN_bn2lebinpad(r, b, limbs * 8);
    for (int i = 1; i < 2048;) {
        uint64_t product = 1, rest = 0;
        int end = i;
        while (end < 2048 && product <= UINT64_MAX / primes[end]) product *= primes[end++];
        for (int k = limbs - 1; k >= 0; k--) {
            uint64_t limb;
            memcpy(&limb, b + 8 * k, 8);
            rest = (uint64_t)(((unsigned __int128)rest << 64 | limb) % product);
        }
        for (; i < end; i++) mods[i] = (uint32_t)(rest % primes[i]);
    }
}

static void prime(BIGNUM *r, int bits, BN_CTX *ctx) {
    static uint32_t mods[2048];
    int checks = bits >= 1300 ? 2 : bits >= 850 ? 3 : bits >= 650 ? 4 : 5;
    BIGNUM *less = BN_new(), *w = BN_new();
    BN_MONT_CTX *mont = BN_MONT_CTX_new();
    for (;;) {
        uint32_t delta = 0;
        draw(r, bits, 1);
        residues(r, mods);
        for (int i = 1; i < 2048; i++)
            if ((mods[i] + delta) % primes[i] <= 1) {
                delta += 2;
                i = 0;
            }
        BN_add_word(r, delta);
        BN_copy(less, r);
        BN_sub_word(less, 1);
        /* One witness turns a composite down; a prime is asked about `checks` times. */
        do draw(w, bits, 0);
        while (BN_cmp(w, less) >= 0);
        BN_MONT_CTX_set(mont, r, ctx);
        BN_set_word(w, 2);
        BN_mod_exp_mont(w, w, less, r, ctx, mont);
        if (!BN_is_one(w)) continue;
        for (int i = 1; i < checks; i++)
            do draw(w, bits, 0);
            while (BN_cmp(w, less) >= 0);
        break;
    }
    BN_free(less), BN_free(w), BN_MONT_CTX_free(mont);
}

int main(int argc, char **argv) {
    if (argc != 7) return 2;
    int bits = atoi(argv[1]), found = 0;
    word = atoi(argv[2]);
    big = argv[3][0] == 'b';
    for (int n = 2; found < 2048; n++) {
        int is = 1;
        for (int i = 0; i < found && primes[i] * primes[i] <= n; i++) is &= n % primes[i] != 0;
        if (is) primes[found++] = (uint16_t)n;
    }
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *p = BN_new(), *q = BN_new(), *t = BN_new(), *e = BN_new();
    BN_set_word(e, 65537);
    for (int one = atoi(argv[5]); one <= atoi(argv[6]); one++) {
        pid = one;
        memset(pool, 0, sizeof pool), memset(md, 0, sizeof md);
        count[0] = count[1] = 0;
        pool_filled = pool_at = polled = entropy = stirred = 0;
        /* RAND_load_file: struct stat, then the file of 1,024 octets; else RAND_status polls. */
        if (strcmp(argv[4], "nornd")) add(word == 64 ? 144 : 88, 0);
        if (!strcmp(argv[4], "rnd")) add(1024, 1024);
        else poll_once();
        BIGNUM *both[2] = {p, q};
        for (int i = 0; i < 2; i++)
            do {
                prime(both[i], bits / 2, ctx);
                BN_copy(t, both[i]);
                BN_sub_word(t, 1);
            } while (BN_mod_word(t, 65537) == 0);
        BN_mul(t, p, q, ctx);
        char *hex = BN_bn2hex(t);
        printf("%d %s\n", one, hex);
        OPENSSL_free(hex);
    }
    return 0;
}
