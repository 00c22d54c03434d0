/* base/human: numbers as people read them, in progress lines, tables and reports alike. */
#ifndef FETTLE_BASE_HUMAN_H
#define FETTLE_BASE_HUMAN_H

/* A number of bytes, of seconds, of anything: "12.4 MB", "1h12m", "5.52 M". The text is in buf, which is returned. */
const char *ft_human_bytes(double n, char buf[32]);
const char *ft_human_seconds(double s, char buf[32]);
const char *ft_human_count(double n, char buf[32]);

#endif
