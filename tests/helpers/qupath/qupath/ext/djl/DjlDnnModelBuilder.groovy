package qupath.ext.djl

import groovy.transform.CompileStatic
import groovy.transform.PackageScope
import org.bytedeco.opencv.opencv_core.Mat
import qupath.opencv.dnn.DnnModel
import qupath.opencv.dnn.DnnModelParams

class DjlDnnModelBuilder {
    /** Height and width of what the network was given. */
    static final List<String> calls = [].asSynchronized()

    DnnModel buildModel(DnnModelParams parameters) {
        assert parameters.framework == DnnModelParams.FRAMEWORK_PYTORCH && parameters.layout == "bcyx"
        return new DjlDnnModel(parameters.files[0])
    }
}

/**
 * A network of a radius and a total stride, as the weights' text says, that mirrors its input at its edges.
 *
 * The mean over a square, plus a number for the place in the grid of its strides, which counts from where its input
 * begins. `test_qupath_script.py` computes the same in NumPy.
 */
@CompileStatic
@PackageScope
class DjlDnnModel implements DnnModel {
    private int radius, stride, calls, failsAt

    DjlDnnModel(File weights) {
        List<String> numbers = weights.getText().trim().tokenize()
        if (numbers[0] == "broken")
            throw new IOException("PyTorch cannot read the file")
        radius = numbers[0] as int
        stride = numbers[1] as int
        failsAt = numbers[2] as int
    }

    @Override
    Map<String, Mat> predict(Map<String, Mat> blobs) {
        return ["output": predict(blobs["input"])]
    }

    @Override
    synchronized Mat predict(Mat mat) {
        DjlDnnModelBuilder.calls << (mat.rows + " " + mat.cols).toString()
        if (++calls == failsAt)
            throw new IllegalStateException("the GPU is out of memory")
        float[] rows = mean(mat.values, mat.rows, mat.cols, mat.cols, 1)
        float[] both = mean(rows, mat.cols, mat.rows, 1, mat.cols)
        for (int y = 0; y < mat.rows; y++)
            for (int x = 0; x < mat.cols; x++)
                both[y * mat.cols + x] += (float) (y % stride * stride + x % stride)
        return new Mat(rows: mat.rows, cols: mat.cols, values: both)
    }

    /** The mean along an axis of so many pixels, in each of so many lines. */
    private float[] mean(float[] values, int lines, int pixels, int line, int pixel) {
        float[] result = new float[values.length]
        for (int i = 0; i < lines; i++)
            for (int j = 0; j < pixels; j++) {
                double sum = 0
                for (int k = j - radius; k <= j + radius; k++) {
                    int at = Math.floorMod(k, 2 * pixels)
                    sum += values[i * line + Math.min(at, 2 * pixels - 1 - at) * pixel]
                }
                result[i * line + j * pixel] = (float) (sum / (2 * radius + 1))
            }
        return result
    }

    @Override
    void close() {
        DjlDnnModelBuilder.calls << "closed"
    }
}
