# zsh completion
