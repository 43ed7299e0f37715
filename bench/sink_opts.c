#include "bench/sink_opts.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include "bench/cli.h"

static const char usage_text[] =
	"usage: smtp-sink [options] [inet:]HOST:PORT|unix:PATH... [BACKLOG]\n"
	"Accepts mail and throws it away; counts it, finds lost and duplicate messages.\n"
	"  -L            LMTP\n"
	"  -T N          threads (1)\n"
	"  -4, -6        IPv4 or IPv6 only\n"
	"  -M NAME       own name in the greeting (smtp-sink)\n"
	"  -c            live counters on stderr\n"
	"  -j            print JSON at exit instead of text; SIGUSR1 prints JSON at any time\n"
	"  -q            print nothing at exit\n"
	"  -r N          most recipients of a message (10000)\n"
	"  --json FILE   write the JSON to a file at exit\n"
	"  --control PATH   unix socket: connect and read one JSON object\n"
	"  --device NAME    inet: only what comes in through this interface, such as lo\n"
	"  --port-file FILE write the port that port 0 became, one line per inet address\n"
	"  --expect N    exit when N distinct messages have arrived\n"
	"  --expect-messages N  exit when N messages have arrived, distinct or not\n"
	"  --timeout TIME   exit after this time in any case\n"
	"  --linger TIME    stay this long after the expected number arrived (0)\n"
	"  --acked FILE  at exit look for the ids in this file; those that never arrived are lost\n"
	"  --no-duplicates  duplicates make the exit status non-zero\n"
	"  --fail STAGE:REPLY[:RATE[:MATCH]]  --delay STAGE:TIME[:RATE[:MATCH]]\n"
	"  --drop STAGE[:RATE[:MATCH]]        --stall STAGE[:RATE[:MATCH]]\n"
	"                STAGE connect helo mail rcpt data body dot accepted rset quit;\n"
	"                RATE 10%, 1/50 or 20x; MATCH a part of the address\n"
	"  --limit RATE  answer at most so many messages per second in total (100/s); SIGUSR2 lifts\n"
	"                the limit, and sets it again\n"
	"  --with NAME, --without NAME  offer SMTPUTF8, DSN, CHUNKING; leave out PIPELINING,\n"
	"                8BITMIME, SIZE, ENHANCEDSTATUSCODES\n"
	"  --size N      largest message in bytes, offered with SIZE (none)\n"
	"  --max-sessions N  refuse more with 421 (none)\n"
	"  --mail-max N  messages on one connection, offered with LIMITS; 421 to more (none)\n"
	"  --max-pairs N     remember so many (message, recipient) pairs (32m)\n"
	"  --idle TIME   close a session when nothing comes for so long (5m)\n"
	"  --dump DIR    write each message to a file in DIR\n"
	"  --seed N      for chances (from the clock)\n"
	"  -h, -V        this text; the version\n";

enum {
	OPT_JSON = 256,
	OPT_CONTROL,
	OPT_DEVICE,
	OPT_PORT_FILE,
	OPT_EXPECT,
	OPT_EXPECT_MESSAGES,
	OPT_TIMEOUT,
	OPT_LINGER,
	OPT_ACKED,
	OPT_NO_DUPLICATES,
	OPT_FAIL,
	OPT_DELAY,
	OPT_DROP,
	OPT_STALL,
	OPT_LIMIT,
	OPT_WITH,
	OPT_WITHOUT,
	OPT_SIZE,
	OPT_MAX_SESSIONS,
	OPT_MAIL_MAX,
	OPT_MAX_PAIRS,
	OPT_IDLE,
	OPT_DUMP,
	OPT_SEED
};

static const struct option longs[] = {
	{ "json", 1, 0, OPT_JSON },
	{ "control", 1, 0, OPT_CONTROL },
	{ "device", 1, 0, OPT_DEVICE },
	{ "port-file", 1, 0, OPT_PORT_FILE },
	{ "expect", 1, 0, OPT_EXPECT },
	{ "expect-messages", 1, 0, OPT_EXPECT_MESSAGES },
	{ "timeout", 1, 0, OPT_TIMEOUT },
	{ "linger", 1, 0, OPT_LINGER },
	{ "acked", 1, 0, OPT_ACKED },
	{ "no-duplicates", 0, 0, OPT_NO_DUPLICATES },
	{ "fail", 1, 0, OPT_FAIL },
	{ "delay", 1, 0, OPT_DELAY },
	{ "drop", 1, 0, OPT_DROP },
	{ "stall", 1, 0, OPT_STALL },
	{ "limit", 1, 0, OPT_LIMIT },
	{ "with", 1, 0, OPT_WITH },
	{ "without", 1, 0, OPT_WITHOUT },
	{ "size", 1, 0, OPT_SIZE },
	{ "max-sessions", 1, 0, OPT_MAX_SESSIONS },
	{ "mail-max", 1, 0, OPT_MAIL_MAX },
	{ "max-pairs", 1, 0, OPT_MAX_PAIRS },
	{ "idle", 1, 0, OPT_IDLE },
	{ "dump", 1, 0, OPT_DUMP },
	{ "seed", 1, 0, OPT_SEED },
	{ "help", 0, 0, 'h' },
	{ "version", 0, 0, 'V' },
	{ 0, 0, 0, 0 },
};

static unsigned offer_bit(const char *option, const char *name)
{
	static const struct {
		const char *name;
		unsigned bit;
	} rows[] = {
		{ "PIPELINING", SINK_PIPELINING },
		{ "8BITMIME", SINK_8BITMIME },
		{ "SIZE", SINK_SIZE },
		{ "ENHANCEDSTATUSCODES", SINK_ENHANCED },
		{ "SMTPUTF8", SINK_SMTPUTF8 },
		{ "DSN", SINK_DSN },
		{ "CHUNKING", SINK_CHUNKING },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (span_caseeq(span_str(name), span_str(rows[i].name)))
			return rows[i].bit;
	cli_die(EX_USAGE, "%s: unknown extension \"%s\"", option, name);
}

static void add_fault(struct sink_opts *o, enum fault_kind kind, const char *spec)
{
	const char *why;

	if (fault_add(&o->faults, kind, spec, &why))
		cli_die(EX_USAGE, "--%s \"%s\": %s", fault_kind_name(kind), spec, why);
}

/* Options about what is done to clients. */
static void one_behaviour(struct sink_opts *o, int c, const char *arg)
{
	switch (c) {
	case OPT_FAIL:
		add_fault(o, FAULT_FAIL, arg);
		break;
	case OPT_DELAY:
		add_fault(o, FAULT_DELAY, arg);
		break;
	case OPT_DROP:
		add_fault(o, FAULT_DROP, arg);
		break;
	case OPT_STALL:
		add_fault(o, FAULT_STALL, arg);
		break;
	case OPT_LIMIT:
		o->limit_per_sec = cli_rate("--limit", arg);
		break;
	case OPT_WITH:
		o->offers |= offer_bit("--with", arg);
		break;
	case OPT_WITHOUT:
		o->offers &= ~offer_bit("--without", arg);
		break;
	case OPT_SIZE:
		o->size_max = cli_count("--size", arg, 1, UINT64_MAX);
		break;
	case OPT_MAX_SESSIONS:
		o->session_max = cli_count("--max-sessions", arg, 1, UINT32_MAX);
		break;
	case OPT_MAIL_MAX:
		o->mail_max = (uint32_t)cli_count("--mail-max", arg, 1, 999999);
		break;
	case OPT_IDLE:
		o->idle_usec = cli_time("--idle", arg);
		break;
	default:
		exit(EX_USAGE); /* getopt has said why */
	}
}

/* Options about counting, files and the end. */
static void one_report(struct sink_opts *o, int c, const char *arg)
{
	switch (c) {
	case OPT_JSON:
		o->json = arg;
		break;
	case OPT_CONTROL:
		o->control = arg;
		break;
	case OPT_DEVICE:
		o->device = arg;
		break;
	case OPT_PORT_FILE:
		o->port_file = arg;
		break;
	case OPT_EXPECT:
		o->expect = cli_count("--expect", arg, 1, UINT32_MAX);
		break;
	case OPT_EXPECT_MESSAGES:
		o->expect_messages = cli_count("--expect-messages", arg, 1, UINT64_MAX);
		break;
	case OPT_TIMEOUT:
		o->timeout_usec = cli_time("--timeout", arg);
		break;
	case OPT_LINGER:
		o->linger_usec = cli_time("--linger", arg);
		break;
	case OPT_ACKED:
		o->acked = arg;
		break;
	case OPT_NO_DUPLICATES:
		o->no_duplicates = true;
		break;
	case OPT_MAX_PAIRS:
		o->pair_max = cli_count("--max-pairs", arg, 1000, UINT64_C(1) << 32);
		break;
	case OPT_DUMP:
		o->dump = arg;
		break;
	case OPT_SEED:
		o->seed = cli_count("--seed", arg, 0, UINT64_MAX);
		break;
	default:
		one_behaviour(o, c, arg);
	}
}

static void one(struct sink_opts *o, int c, const char *arg, int *family)
{
	switch (c) {
	case 'L':
		o->lmtp = true;
		break;
	case 'T':
		o->threads = (unsigned)cli_count("-T", arg, 1, 256);
		break;
	case '4':
		*family = AF_INET;
		break;
	case '6':
		*family = AF_INET6;
		break;
	case 'M':
		o->hostname = arg;
		break;
	case 'c':
		o->counter = true;
		break;
	case 'j':
		o->json_stdout = true;
		break;
	case 'q':
		o->quiet = true;
		break;
	case 'r':
		o->rcpt_max = cli_count("-r", arg, 1, 1000000);
		break;
	case 'h':
		fputs(usage_text, stdout);
		exit(EX_OK);
	case 'V':
		puts("smtp-sink (smX) " SMX_VERSION);
		exit(EX_OK);
	default:
		one_report(o, c, arg);
	}
}

static void addresses(struct sink_opts *o, int argc, char **argv, int family)
{
	char why[256];

	for (int i = optind; i < argc; i++) {
		bool number = strspn(argv[i], "0123456789") == strlen(argv[i]);
		if (number && i > optind && i == argc - 1) {
			o->backlog = (int)cli_count("BACKLOG", argv[i], 1, 1 << 20);
			break;
		}
		if (o->listen_count == SINK_LISTEN_MAX)
			cli_die(EX_USAGE, "more than %d addresses", SINK_LISTEN_MAX);
		if (endpoint_parse(argv[i], family, true, &o->listen[o->listen_count++], why,
				   sizeof(why)))
			cli_die(EX_USAGE, "%s", why);
	}
	if (o->listen_count == 0)
		cli_die(EX_USAGE, "no address to listen on; smtp-sink -h shows how to use it");
}

void sink_opts_parse(struct sink_opts *o, int argc, char **argv)
{
	int c, family = AF_UNSPEC;

	*o = (struct sink_opts){
		.threads = 1,
		.backlog = 4096,
		.offers = SINK_PIPELINING | SINK_8BITMIME | SINK_SIZE | SINK_ENHANCED,
		.rcpt_max = 10000,
		.session_max = UINT32_MAX,
		.pair_max = 32000000,
		.seed = (uint64_t)clock_wall(),
		.idle_usec = 300 * (usec_t)USEC_PER_SEC,
		.hostname = "smtp-sink",
	};
	while ((c = getopt_long(argc, argv, "LT:46M:cjqr:hV", longs, NULL)) != -1)
		one(o, c, optarg, &family);
	addresses(o, argc, argv, family);
}
