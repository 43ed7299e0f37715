#include "bench/source_opts.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sysexits.h>
#include <unistd.h>
#include "bench/cli.h"

static const char usage_text[] =
	"usage: smtp-source [options] [inet:]HOST[:PORT]|unix:PATH\n"
	"Sends test mail; every message has its own id in X-SMX-ID.\n"
	"  -s N          sessions at the same time (1)\n"
	"  -m N          messages (1); 0: until --time is over\n"
	"  -n N, -d      messages per connection (1), as many as there are\n"
	"  -l N          bytes of body (1024)\n"
	"  -r N          recipients per message (1)\n"
	"  -f, -t ADDR   sender, recipient (foo@hostname); -f '<>' is the null sender\n"
	"  -M NAME       own name (that of the machine)\n"
	"  -P            pipelining: MAIL, RCPT and DATA in one write\n"
	"  -L            LMTP\n"
	"  -R RATE       messages per second by a schedule (100/s); latency counts from the schedule\n"
	"  -T N          threads (1)\n"
	"  -N            number in front of every recipient, never the same\n"
	"  -F FILE       header and body from a file; the id is put in front\n"
	"  -S TEXT       subject\n"
	"  -4, -6        IPv4 or IPv6 only\n"
	"  -c            live counters on stderr (without it only on a terminal)\n"
	"  -j, --json FILE  results as JSON on stdout, into a file;  -q  print nothing\n"
	"  --acked FILE  append each id that got 250 after its content, as it comes\n"
	"  --tolerant    go on with new messages after refusals and lost connections until -m messages\n"
	"                are acknowledged or --time is over\n"
	"  --time TIME   end after this time; --grace TIME for what is under way (2s)\n"
	"  --timeout TIME   longest wait for a reply (5m)\n"
	"  --senders N, --domains N  that many different senders, recipient domains\n"
	"  --rcpt-id     the id in every recipient address\n"
	"  --bdat        BDAT in two chunks when CHUNKING is offered; --helo  HELO, no EHLO\n"
	"  --mail-args, --rcpt-args TEXT  behind MAIL FROM:<>, RCPT TO:<>\n"
	"  --run ID      first part of all ids (random); --start N  first number (1)\n"
	"  --seed N      of everything random (1)\n"
	"  -h, -V        this text; the version\n";

enum {
	OPT_JSON = 256,
	OPT_ACKED,
	OPT_TOLERANT,
	OPT_TIME,
	OPT_GRACE,
	OPT_TIMEOUT,
	OPT_SENDERS,
	OPT_DOMAINS,
	OPT_RCPT_ID,
	OPT_BDAT,
	OPT_HELO,
	OPT_MAIL_ARGS,
	OPT_RCPT_ARGS,
	OPT_RUN,
	OPT_START,
	OPT_SEED
};

static const struct option longs[] = {
	{ "json", 1, 0, OPT_JSON },
	{ "acked", 1, 0, OPT_ACKED },
	{ "tolerant", 0, 0, OPT_TOLERANT },
	{ "time", 1, 0, OPT_TIME },
	{ "grace", 1, 0, OPT_GRACE },
	{ "timeout", 1, 0, OPT_TIMEOUT },
	{ "senders", 1, 0, OPT_SENDERS },
	{ "domains", 1, 0, OPT_DOMAINS },
	{ "rcpt-id", 0, 0, OPT_RCPT_ID },
	{ "bdat", 0, 0, OPT_BDAT },
	{ "helo", 0, 0, OPT_HELO },
	{ "mail-args", 1, 0, OPT_MAIL_ARGS },
	{ "rcpt-args", 1, 0, OPT_RCPT_ARGS },
	{ "run", 1, 0, OPT_RUN },
	{ "start", 1, 0, OPT_START },
	{ "seed", 1, 0, OPT_SEED },
	{ "help", 0, 0, 'h' },
	{ "version", 0, 0, 'V' },
	{ 0, 0, 0, 0 },
};

/* Text that goes into a command must not end it. */
static const char *one_line(const char *option, const char *text)
{
	if (strlen(text) > 500 || strpbrk(text, "\r\n"))
		cli_die(EX_USAGE, "%s: one line of at most 500 bytes belongs here", option);
	return text;
}

static void set_run(struct source_opts *o, const char *text)
{
	if (msgid_check_run(text, strlen(text)))
		cli_die(EX_USAGE, "--run: 1 to %d letters, digits, dots, underscores",
			MSGID_RUN_MAX);
	snprintf(o->run, sizeof(o->run), "%s", text);
}

/* Options about the dialogue and its end. */
static void one_long(struct source_opts *o, int c, const char *arg)
{
	switch (c) {
	case OPT_TIME:
		o->time_usec = cli_time("--time", arg);
		break;
	case OPT_GRACE:
		o->grace_usec = cli_time("--grace", arg);
		break;
	case OPT_TIMEOUT:
		o->reply_usec = cli_time("--timeout", arg);
		break;
	case OPT_RCPT_ID:
		o->rcpt_id = true;
		break;
	case OPT_BDAT:
		o->bdat = true;
		break;
	case OPT_HELO:
		o->helo_only = true;
		break;
	case OPT_MAIL_ARGS:
		o->mail_args = one_line("--mail-args", arg);
		break;
	case OPT_RCPT_ARGS:
		o->rcpt_args = one_line("--rcpt-args", arg);
		break;
	case OPT_RUN:
		set_run(o, arg);
		break;
	case OPT_START:
		o->first_number = (uint32_t)cli_count("--start", arg, 1, UINT32_MAX / 2);
		break;
	case OPT_SEED:
		o->seed = cli_count("--seed", arg, 0, UINT64_MAX);
		break;
	default:
		exit(EX_USAGE); /* getopt has said why */
	}
}

/* Options about addresses, files and what is printed. */
static void one_report(struct source_opts *o, int c, const char *arg)
{
	switch (c) {
	case 'c':
		o->counter = true;
		break;
	case 'j':
		o->json_stdout = true;
		break;
	case 'q':
		o->quiet = true;
		break;
	case 'h':
		fputs(usage_text, stdout);
		exit(EX_OK);
	case 'V':
		puts("smtp-source (smX) " SMX_VERSION);
		exit(EX_OK);
	case OPT_JSON:
		o->json = arg;
		break;
	case OPT_ACKED:
		o->acked = arg;
		break;
	case OPT_TOLERANT:
		o->tolerant = true;
		break;
	case OPT_SENDERS:
		o->senders = (uint32_t)cli_count("--senders", arg, 1, UINT32_MAX);
		break;
	case OPT_DOMAINS:
		o->domains = (uint32_t)cli_count("--domains", arg, 1, UINT32_MAX);
		break;
	case 'N':
		o->rcpt_number = true;
		break;
	default:
		one_long(o, c, arg);
	}
}

/* Options about the message. */
static void one_message(struct source_opts *o, int c, const char *arg)
{
	switch (c) {
	case 'l':
		o->length = cli_count("-l", arg, 0, UINT64_C(1) << 31);
		break;
	case 'r':
		o->rcpts = (uint32_t)cli_count("-r", arg, 1, 1000000);
		break;
	case 'f':
		o->from = strcmp(arg, "<>") == 0 ? "" : one_line("-f", arg);
		break;
	case 't':
		o->to = one_line("-t", arg);
		break;
	case 'M':
		o->hostname = one_line("-M", arg);
		break;
	case 'F':
		o->file = arg;
		break;
	case 'S':
		o->subject = one_line("-S", arg);
		break;
	default:
		one_report(o, c, arg);
	}
}

static void one(struct source_opts *o, int c, const char *arg, int *family)
{
	switch (c) {
	case 's':
		o->sessions = (unsigned)cli_count("-s", arg, 1, 1000000);
		break;
	case 'm':
		o->messages = cli_count("-m", arg, 0, UINT32_MAX / 2);
		break;
	case 'n':
		o->per_connection = (uint32_t)cli_count("-n", arg, 1, UINT32_MAX);
		break;
	case 'd':
		o->per_connection = UINT32_MAX;
		break;
	case 'P':
		o->pipeline = true;
		break;
	case 'L':
		o->lmtp = true;
		break;
	case 'R':
		o->rate_per_sec = cli_rate("-R", arg);
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
	default:
		one_message(o, c, arg);
	}
}

static void random_run(struct source_opts *o)
{
	uint64_t r;

	if (getrandom(&r, sizeof(r), 0) != sizeof(r))
		r = (uint64_t)clock_wall();
	snprintf(o->run, sizeof(o->run), "%012llx", (unsigned long long)(r >> 16));
}

static void check(struct source_opts *o)
{
	static char host[256], addr[300];

	if (o->messages == 0 && o->time_usec == 0)
		cli_die(EX_USAGE, "-m 0 needs --time");
	if (!o->hostname) {
		if (gethostname(host, sizeof(host) - 1))
			snprintf(host, sizeof(host), "localhost");
		o->hostname = host;
	}
	snprintf(addr, sizeof(addr), "foo@%s", o->hostname);
	if (!o->from)
		o->from = addr;
	if (!o->to)
		o->to = addr;
	if (o->domains && !strchr(o->to, '@'))
		cli_die(EX_USAGE, "--domains needs a recipient with a domain");
	if (!o->run[0])
		random_run(o);
	if (o->messages && o->sessions > o->messages)
		o->sessions = (unsigned)o->messages;
	if (o->threads > o->sessions)
		o->threads = o->sessions;
}

void source_opts_parse(struct source_opts *o, int argc, char **argv)
{
	int c, family = AF_UNSPEC;
	char why[256];

	*o = (struct source_opts){
		.threads = 1,
		.sessions = 1,
		.messages = 1,
		.per_connection = 1,
		.rcpts = 1,
		.length = 1024,
		.reply_usec = 300 * (usec_t)USEC_PER_SEC,
		.grace_usec = 2 * (usec_t)USEC_PER_SEC,
		.first_number = 1,
		.seed = 1,
	};
	while ((c = getopt_long(argc, argv, "s:m:n:dl:r:f:t:M:PLR:T:NF:S:46cjqhV", longs, NULL)) !=
	       -1)
		one(o, c, optarg, &family);
	if (optind != argc - 1)
		cli_die(EX_USAGE,
			"one server address belongs here; smtp-source -h shows how to use it");
	if (endpoint_parse(argv[optind], family, false, &o->server, why, sizeof(why)))
		cli_die(EX_USAGE, "%s", why);
	check(o);
}
