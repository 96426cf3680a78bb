# cmake -D IN=FILE -D OUT=FILE -P embed_text.cmake: the text of IN as one string literal of C++.

file(READ ${IN} text)
file(WRITE ${OUT} "R\"text(${text})text\"\n")
