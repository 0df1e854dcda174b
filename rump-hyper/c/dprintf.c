/*
 * The one hypercall that Rust cannot define: a C variadic function.
 * It formats and hands the text to the Rust side, which owns the console.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

void rump_hyper_console_text(const char *, size_t);

void rumpuser_dprintf(const char *, ...) __attribute__((format(printf, 1, 2)));

void
rumpuser_dprintf(const char *format, ...)
{
	char text[1024];
	va_list ap;
	int len;

	va_start(ap, format);
	len = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (len < 0)
		return;
	if ((size_t)len >= sizeof(text))
		len = sizeof(text) - 1;
	rump_hyper_console_text(text, (size_t)len);
}
