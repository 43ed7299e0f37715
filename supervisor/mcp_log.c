#include "supervisor/mcp_log.h"

#include "core/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void mcp_log(const char *sev, const char *fmt, ...)
{
	char line[1024], date[24], zone[8];
	va_list ap;
	usec_t wall_usec = clock_wall();
	time_t sec = wall_usec / USEC_PER_SEC;
	struct tm tm;

	localtime_r(&sec, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	strftime(zone, sizeof(zone), "%z", &tm);
	int n = snprintf(line, sizeof(line), "%s.%06d%s sev=%s, ", date,
			 (int)(wall_usec % USEC_PER_SEC), zone, sev);

	va_start(ap, fmt);
	int more = vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	va_end(ap);
	if (more > 0)
		n += more;
	if ((size_t)n > sizeof(line) - 1)
		n = sizeof(line) - 1;
	line[n] = '\n';
	/* A log that cannot be written is no reason to stop. */
	if (write(STDERR_FILENO, line, (size_t)n + 1) < 0)
		return;
}

void mcp_log_rewind(void)
{
	struct stat st;

	if (!fstat(STDERR_FILENO, &st) && S_ISREG(st.st_mode) && !ftruncate(STDERR_FILENO, 0))
		lseek(STDERR_FILENO, 0, SEEK_SET);
}
