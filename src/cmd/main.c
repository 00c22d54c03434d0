/* fettle: the program. Reads the command line, runs one command, turns its status into the exit status. */
#include "config.h"

#include "cmd/cmd.h"

#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* The one place where an error reaches the user. Lines behind the first are indented under it. */
static void report(ft_status st)
{
    const char *text = ft_error();
    ft_say("%sfettle:%s %s", ft_color_error(), ft_color_off(), *text ? text : "failed without a message");
}

static ft_status put_help(const ft_args *a)
{
    ft_buf text = {0};
    ft_status st;
    if (a->cmd)
        st = ft_help_command(&text, a->cmd);
    else if (a->group)
        st = ft_help_group(&text, a->group);
    else
        st = ft_help_program(&text);
    if (st == FT_OK)
        st = ft_put(&text);
    ft_buf_free(&text);
    return st;
}

static ft_status run(int argc, char **argv)
{
    static ft_args args; /* large, and needed as long as the program runs */
    FT_RETURN(ft_args_parse(&args, argc, argv));
    if (ft_args_given(&args, "threads"))
        ft_threads_set((int)ft_args_int(&args, "threads"));
    if (ft_args_given(&args, "help"))
        return put_help(&args);
    if (ft_args_given(&args, "version"))
        args.cmd = ft_cmd_named("version");
    if (!args.cmd)
        return ft_fail(FT_EINPUT, "no command\ntype: fettle --help");
    return args.cmd->run(&args);
}

/* What is large goes back to the system when it is freed. glibc's threshold follows the largest block freed, up to 32 MB:
 * arenas, caches and tapes then lie in one heap, and what ends early leaves holes there that count as ours. */
static void return_large_blocks(void)
{
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
#endif
}

int main(int argc, char **argv)
{
    return_large_blocks();
    ft_out_init();
    ft_status st = run(argc, argv);
    if (st == FT_OK)
        st = ft_out_finish();
    else
        (void)fflush(stdout);
    if (st != FT_OK)
        report(st);
    return ft_exit_status(st);
}
