# fish completion
