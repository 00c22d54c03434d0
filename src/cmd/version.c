/* fettle version: what a report of a fault must hold: libraries as they run, the CPU path, the BLAS core, threads. */
#include "config.h"

#include "cmd/cmd.h"

#include <cblas.h>
#include <hdf5.h>
#include <utf8proc.h>
#include <yaml.h>
#include <zlib.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

static void put_libraries(json_t *o)
{
    char text[64];
    unsigned a = 0, b = 0, c = 0;
    json_t *libs = ft_result_object(o, "libraries");
    ft_result_text(libs, "openblas", openblas_get_config());
    if (H5get_libversion(&a, &b, &c) >= 0) {
        snprintf(text, sizeof text, "%u.%u.%u", a, b, c);
        ft_result_text(libs, "hdf5", text);
    }
    ft_result_text(libs, "libyaml", yaml_get_version_string());
    ft_result_text(libs, "zlib", zlibVersion());
    if (pcre2_config(PCRE2_CONFIG_VERSION, text) > 0)
        ft_result_text(libs, "pcre2", text);
    ft_result_text(libs, "utf8proc", utf8proc_version());
    ft_result_text(libs, "jansson", jansson_version_str());
}

static ft_status run(const ft_args *a)
{
    json_t *o = json_object();
    ft_result_text(o, "fettle", PACKAGE_VERSION);
    ft_result_text(o, "compiler", __VERSION__);
    ft_result_text(o, "cpu_path", ft_kernels_active()->name);
    ft_result_text(o, "blas_core", ft_blas_core());
    ft_result_int(o, "threads", ft_threads());
    ft_result_int(o, "ram_bytes", (int64_t)ft_total_ram_bytes());
    put_libraries(o);
    return ft_result_print(a, o);
}

static const ft_cmd_option options[] = {{"json", FT_ARG_FLAG, .help = "one JSON object instead of a table"}, {0}};

const ft_cmd ft_cmd_version = {
    .name = "version",
    .summary = "show library versions, CPU path, BLAS core and threads",
    .about =
        "Shows the versions of fettle and of the libraries it runs with, the CPU path of its kernels, the core that "
        "OpenBLAS chose, and the number of threads. fettle --version is the same.",
    .options = options,
    .example = "fettle version --json",
    .run = run};
