/* fettle recipe validate, fettle recipe doc. */
#include "cmd/plan.h"

static ft_status run_validate(const ft_args *a)
{
    const char *sets[FT_MAX_ARGS];
    ft_plan p;
    json_t *o;
    size_t n = ft_args_count(a, "set");
    for (size_t i = 0; i < n; i++)
        sets[i] = ft_args_item(a, "set", i);
    FT_RETURN(ft_plan_open(&p, ft_args_text(a, "RECIPE"), sets, n));
    ft_status st = FT_OK;
    if (ft_args_given(a, "resolved")) {
        st = ft_put(&p.resolved);
    } else {
        o = json_object();
        ft_result_text(o, "recipe", ft_args_text(a, "RECIPE"));
        ft_result_bool(o, "valid", true);
        st = ft_result_print(a, o);
    }
    ft_plan_free(&p);
    return st;
}

static const ft_cmd_option validate_options[] = {
    {"RECIPE", FT_ARG_FILE, .positional = true, .required = true, .help = "a recipe file (YAML)"},
    {"set", FT_ARG_TEXT, .argument = "KEY=VALUE", .repeats = true, .help = "set a key of the recipe"},
    {"resolved", FT_ARG_FLAG, .help = "print the recipe with every key and its value"},
    {"json", FT_ARG_FLAG, .help = "print one JSON object instead of text"},
    {0}};

const ft_cmd ft_cmd_recipe_validate = {
    .name = "recipe validate",
    .summary = "check a recipe and report every mistake in it",
    .about = "Checks keys, types, limits, names, files and combinations without loading anything, and reports all "
             "mistakes at once, each with file, line, column and the nearest valid name. Exit status 2 when there are "
             "any.",
    .options = validate_options,
    .example = "fettle recipe validate recipes/defects-lora.yaml\n"
               "fettle recipe validate recipes/defects-lora.yaml --set lora_r=8 --resolved",
    .run = run_validate};

static ft_status run_doc(const ft_args *a)
{
    ft_buf text = {0};
    ft_status st = ft_recipe_doc(&text, ft_args_text(a, "KEY"));
    if (st == FT_OK)
        st = ft_put(&text);
    ft_buf_free(&text);
    return st;
}

static const ft_cmd_option doc_options[] = {
    {"KEY", FT_ARG_TEXT, .positional = true, .help = "one key; without it all of them"}, {0}};

const ft_cmd ft_cmd_recipe_doc = {
    .name = "recipe doc",
    .summary = "explain the keys of a recipe",
    .about =
        "Prints every key of a recipe with its type, limits, default, aliases and meaning, as markdown; or one key.",
    .options = doc_options,
    .example = "fettle recipe doc lora_r\nfettle recipe doc > recipe.md",
    .run = run_doc};
