#include "supervisor/held.h"

#include "core/hold.h"
#include "supervisor/mcp_log.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the note */

/* Headers and notes stand in front of a program's file. */
enum { HEAD_BYTES = 4096, ENV_MAX = 4096 };

/* Name and text of a note are padded to four bytes. */
static size_t padded(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

static bool find_note(const char *p, size_t n)
{
	static const char name[] = HOLD_NOTE_NAME;
	ElfW(Nhdr) h;
	uint32_t version;

	while (n >= sizeof h) {
		memcpy(&h, p, sizeof h);
		if (h.n_namesz > n || h.n_descsz > n)
			return false;
		size_t text = sizeof h + padded(h.n_namesz), next = text + padded(h.n_descsz);
		if (next > n)
			return false;
		if (h.n_type == HOLD_NOTE_TYPE && h.n_namesz == sizeof name &&
		    h.n_descsz == sizeof version && memcmp(p + sizeof h, name, sizeof name) == 0) {
			memcpy(&version, p + text, sizeof version);
			return version == HOLD_NOTE_VERSION;
		}
		p += next;
		n -= next;
	}
	return false;
}

static bool has_note(const char *p, size_t n)
{
	ElfW(Ehdr) e;
	ElfW(Phdr) ph;

	if (n < sizeof e)
		return false;
	memcpy(&e, p, sizeof e);
	if (memcmp(e.e_ident, ELFMAG, SELFMAG) != 0 || e.e_phentsize != sizeof ph || e.e_phoff > n)
		return false;
	for (size_t i = 0; i < e.e_phnum && e.e_phoff + (i + 1) * sizeof ph <= n; i++) {
		memcpy(&ph, p + e.e_phoff + i * sizeof ph, sizeof ph);
		if (ph.p_type == PT_NOTE && ph.p_offset <= n && ph.p_filesz <= n - ph.p_offset &&
		    find_note(p + ph.p_offset, ph.p_filesz))
			return true;
	}
	return false;
}

bool held_is_known(const char *path)
{
	char head[HEAD_BYTES];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : pread(fd, head, sizeof head, 0);

	if (fd >= 0)
		close(fd);
	return n > 0 && has_note(head, (size_t)n);
}

/* ---- the list */

static struct held *find(const struct held_list *l, unsigned section)
{
	for (unsigned i = 0; i < l->count; i++)
		if (l->item[i].section == section)
			return (struct held *)(uintptr_t)&l->item[i];
	return NULL;
}

static void take_out(struct held_list *l, struct held *h)
{
	close(h->fd);
	*h = l->item[--l->count];
}

pid_t held_start(struct held_list *l, unsigned section, const struct spawn *s)
{
	static char variable[] = HOLD_VARIABLE "=3";
	char *env[ENV_MAX + 2];
	struct spawn mine = *s;
	size_t n = 0;
	int fd[2];

	while (s->env[n] && n < ENV_MAX) {
		env[n] = s->env[n];
		n++;
	}
	if (s->env[n] || l->count == HELD_MAX)
		return -E2BIG;
	env[n++] = variable;
	env[n] = NULL;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd))
		return -errno;
	mine.env = env;
	mine.hold_fd = &fd[1];
	pid_t pid = spawn_start(&mine);
	close(fd[1]);
	if (pid < 0)
		close(fd[0]);
	else
		l->item[l->count++] = (struct held){ .section = section, .pid = pid, .fd = fd[0] };
	return pid;
}

int held_fd(const struct held_list *l, unsigned section)
{
	const struct held *h = find(l, section);

	return h ? h->fd : -1;
}

bool held_is_ready(const struct held_list *l, unsigned section)
{
	const struct held *h = find(l, section);
	char c;

	return h && recv(h->fd, &c, 1, MSG_DONTWAIT) == 1;
}

void held_forget(struct held_list *l, unsigned section)
{
	struct held *h = find(l, section);

	if (h)
		take_out(l, h);
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* 0 or -errno. */
static int send_word(int sock, int out_fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} u = { .buf = { 0 } };
	char word = '+';
	struct iovec iov = { &word, 1 };
	struct msghdr h = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = u.buf,
			    .msg_controllen = sizeof u.buf };
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof out_fd);
	memcpy(CMSG_DATA(c), &out_fd, sizeof out_fd);
	return sendmsg(sock, &h, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 ? 0 : -errno;
}

pid_t held_go(struct held_list *l, unsigned section, int out_fd)
{
	struct held *h = find(l, section);
	siginfo_t si = { .si_pid = 0 };

	if (!h)
		return 0;
	pid_t pid = h->pid;
	bool dead = waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT) || si.si_pid;
	if (!dead && send_word(h->fd, out_fd))
		dead = true;
	take_out(l, h);
	if (dead) {
		mcp_log("WARN", "func=start, pid=%d, it died while it waited for its start",
			(int)pid);
		end(pid);
	}
	return dead ? 0 : pid;
}

void held_drop_all(struct held_list *l)
{
	while (l->count) {
		pid_t pid = l->item[0].pid;

		take_out(l, &l->item[0]);
		end(pid);
	}
}
