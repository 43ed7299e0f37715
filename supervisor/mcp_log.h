/*
 * supervisor/mcp_log.h - mcp's own log: one event, one line on standard error, R 10.2.
 *
 * The form is that of core/log.h, but mcp forks, so it has no log thread: a line is one write(2).
 *
 * Owner:  mcp's only thread.
 * Limits: a line is cut at 1 KB.
 */
#ifndef SUPERVISOR_MCP_LOG_H
#define SUPERVISOR_MCP_LOG_H

/* sev: INFO, WARN, ERR, CRIT, ALERT (R 4.9). The text: fields of our own words, func= first. */
void mcp_log(const char *sev, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* R 4.8, USR2: when standard error is a file, begin it anew; it has been copied. */
void mcp_log_rewind(void);

#endif
