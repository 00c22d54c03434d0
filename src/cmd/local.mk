src_fettle_SOURCES += %D%/main.c
